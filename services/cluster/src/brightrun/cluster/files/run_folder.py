"""The folder that a run works in: the one place where service and trainer meet."""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from brightrun.contracts import run_folder as names
from brightrun.contracts.cluster_api import ClusterFile, StopMode
from brightrun.contracts.training import TrainingSpec

CHUNK_BYTES = 1 << 20
LOG_TAIL_BYTES = 256 << 10


class RunFolder:
    """Paths and files of one run. Inputs are complete once they exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dataset = path / names.DATASET
        self.validation = path / names.VALIDATION
        self.init_adapter = path / names.INIT_ADAPTER
        self.spec = path / names.SPEC
        self.stop_request = path / names.STOP_REQUEST
        self.output = path / "out.jsonl"  # the trainer's standard output: one report a line, over all its restarts
        self.log = path / "log.txt"  # the trainer's standard error
        self.adapter = path / names.ADAPTER
        self.checkpoints = path / names.CHECKPOINTS
        self.cache = path / "cache"  # the trainer's encoded data set

    def prepare(self, spec: TrainingSpec) -> None:
        """Make the folder with the spec that the trainer reads; can be repeated after a crash."""
        for folder in (self.adapter, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.spec.with_suffix(".part")
        unfinished.write_text(spec.model_dump_json())
        unfinished.replace(self.spec)

    def request_stop(self, launch: int, mode: StopMode | None) -> None:
        """Ask trainer number `launch` to stop, if there is a mode, and those before it to exit.

        The file is overwritten in place: NFS clients notice that as soon as they open it, unlike a rename.
        """
        self.stop_request.write_text(f"{launch} {mode or ''}")

    def append_log(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(f"{line}\n")

    def read_output(self, offset: int) -> tuple[list[bytes], int]:
        """The next whole lines of the trainer's output and the offset behind them; a line over 1 MiB is cut up."""
        chunk = _read(self.output, offset, CHUNK_BYTES)
        end = len(chunk) if len(chunk) == CHUNK_BYTES and b"\n" not in chunk else chunk.rfind(b"\n") + 1
        return chunk[:end].splitlines(), offset + end

    def drop_torn_line(self, offset: int) -> None:
        """Cut off what a dying trainer left behind its last whole line, so that the next one starts a new line."""
        with suppress(FileNotFoundError):
            os.truncate(self.output, offset)

    def read_log(self, lines: int) -> tuple[bytes, int]:
        """The last `lines` of the trainer's log, at most 256 KiB, and the offset behind them."""
        size = self.log.stat().st_size if self.log.exists() else 0
        chunk, offset = self.read_log_from(max(0, size - LOG_TAIL_BYTES))
        return b"".join(chunk.splitlines(keepends=True)[-lines:]), offset

    def read_log_from(self, offset: int) -> tuple[bytes, int]:
        """Up to 256 KiB of the trainer's log from `offset` on, and the offset behind them."""
        chunk = _read(self.log, offset, LOG_TAIL_BYTES)
        return chunk, offset + len(chunk)

    def describe_adapter(self, file_names: Iterable[str]) -> tuple[ClusterFile, ...]:
        """Size and digest of the adapter's files. Raises OSError for one that is missing or outside of its folder."""
        return tuple(describe_file(self.adapter, name) for name in file_names)


def describe_file(folder: Path, name: str) -> ClusterFile:
    """Size and digest of a file. Raises OSError if it is missing or outside of the folder."""
    path = (folder / name).resolve(strict=True)
    if not path.is_relative_to(folder.resolve()):
        raise PermissionError(f"{name} lies outside of {folder.name}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ClusterFile(name=name, size=path.stat().st_size, sha256=digest)


def _read(path: Path, offset: int, size: int) -> bytes:
    """A chunk of a file; nothing of one that is not there yet."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError:
        return b""
