"""The folder that a run works in: the one place where service and trainer meet."""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from brightrun.contracts.cluster_api import ClusterFile
from brightrun.contracts.training import TrainingSpec

CHUNK_BYTES = 1 << 20
LOG_TAIL_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and files of one run."""

    path: Path

    @property
    def data(self) -> Path:
        """The training data, complete once it exists."""
        return self.path / "data.jsonl"

    @property
    def validation(self) -> Path:
        """The validation data, where the run has data of its own for that; complete once it exists."""
        return self.path / "validation.jsonl"

    @property
    def init_adapter(self) -> Path:
        """The adapter that the training starts from, each of its files complete once it exists."""
        return self.path / "init_adapter"

    @property
    def out(self) -> Path:
        """The trainer's standard output: one report a line, over all its restarts."""
        return self.path / "out.jsonl"

    @property
    def log(self) -> Path:
        """The trainer's standard error."""
        return self.path / "log.txt"

    @property
    def adapter(self) -> Path:
        """The files that a completed run leaves."""
        return self.path / "adapter"

    @property
    def checkpoints(self) -> Path:
        """What a stopped run is resumed from."""
        return self.path / "checkpoints"

    @property
    def order(self) -> Path:
        """What the trainer shall do but train on: `N finish` or `N checkpoint`, N being the launch it is meant for.

        Overwritten in place, never renamed: NFS clients notice that as soon as they open the file.
        """
        return self.path / "order"

    @property
    def cache(self) -> Path:
        """What the trainer made of the data set."""
        return self.path / "cache"

    def prepare(self, spec: TrainingSpec) -> None:
        """Make the folder with the spec that the trainer reads; again after a crash."""
        for folder in (self.adapter, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.path / "spec.part"
        unfinished.write_text(spec.model_dump_json())
        unfinished.replace(self.path / "spec.json")

    def give_order(self, launch: int, word: str = "") -> None:
        """Tell trainer number `launch` what to do, and those before it to make way."""
        self.order.write_text(f"{launch} {word}")

    def say(self, words: str) -> None:
        """Append to the run's log."""
        with self.log.open("a") as log:
            log.write(f"{words}\n")

    def read_output(self, offset: int) -> tuple[list[bytes], int]:
        """The next whole lines of the trainer's output and the offset behind them; a line over 1 MiB is cut up."""
        if not self.out.exists():
            return [], offset
        with self.out.open("rb") as out:
            out.seek(offset)
            chunk = out.read(CHUNK_BYTES)
        end = len(chunk) if len(chunk) == CHUNK_BYTES and b"\n" not in chunk else chunk.rfind(b"\n") + 1
        return chunk[:end].splitlines(), offset + end

    def drop_torn_line(self, offset: int) -> None:
        """Cut off what a dying trainer left behind its last whole line, so that the next one starts a new line."""
        with suppress(FileNotFoundError):
            os.truncate(self.out, offset)

    def measure(self, names: Iterable[str]) -> tuple[ClusterFile, ...]:
        """Size and digest of the adapter's files. Raises OSError for one that is missing or lies elsewhere."""
        return tuple(self._measure(name) for name in names)

    def read_log(self, lines: int) -> tuple[bytes, int]:
        """The last `lines` of the trainer's log, at most 256 KiB, and the offset behind them."""
        if not self.log.exists():
            return b"", 0
        chunk, offset = self.read_log_from(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
        return b"".join(chunk.splitlines(keepends=True)[-lines:]), offset

    def read_log_from(self, offset: int) -> tuple[bytes, int]:
        """Up to 256 KiB of the trainer's log from `offset` on, and the offset behind them."""
        if not self.log.exists():
            return b"", offset
        with self.log.open("rb") as log:
            log.seek(offset)
            chunk = log.read(LOG_TAIL_BYTES)
        return chunk, offset + len(chunk)

    def _measure(self, name: str) -> ClusterFile:
        path = (self.adapter / name).resolve(strict=True)
        if not path.is_relative_to(self.adapter.resolve()):
            raise PermissionError(f"{name} lies outside the adapter's folder")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ClusterFile(name=name, size=path.stat().st_size, sha256=digest)
