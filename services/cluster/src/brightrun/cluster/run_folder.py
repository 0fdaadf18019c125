"""The folder that a run works in: the one place where service and trainer meet."""

import hashlib
import os
from collections.abc import Iterable, Sequence
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

    def prepare(self, spec: TrainingSpec) -> None:
        """Make the folder with the spec that the trainer reads; again after a crash."""
        for folder in (self.adapter, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.path / "spec.part"
        unfinished.write_text(spec.model_dump_json())
        unfinished.replace(self.path / "spec.json")

    def read_output(self, offset: int) -> tuple[Sequence[bytes], int]:
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
        self.out.touch()
        os.truncate(self.out, offset)

    def measure(self, names: Iterable[str]) -> tuple[ClusterFile, ...]:
        """Size and digest of the adapter's files. Raises OSError for one that is missing or lies elsewhere."""
        return tuple(self._measure(name) for name in names)

    def read_log(self, lines: int) -> str:
        """The last `lines` of the trainer's log, at most 256 KiB."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "".join(text.splitlines(keepends=True)[-lines:])

    def _measure(self, name: str) -> ClusterFile:
        path = (self.adapter / name).resolve(strict=True)
        if not path.is_relative_to(self.adapter.resolve()):
            raise PermissionError(f"{name} lies outside the adapter's folder")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ClusterFile(name=name, size=path.stat().st_size, sha256=digest)
