"""The checkpoints in a run's folder: which are complete, how another run takes them over, how they are sent."""

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PREFIX = "checkpoint-"
STATE = "trainer_state.json"
CHUNK_BYTES = 1 << 20
BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A complete checkpoint on disk; `size` is that of its files."""

    path: Path
    step: int
    saved_at: datetime
    size: int


def complete(folder: Path) -> list[SavedCheckpoint]:
    """The complete checkpoints, oldest first. Their state is written last, so it tells."""
    found = (_read(path) for path in folder.glob(f"{PREFIX}*"))
    return sorted((checkpoint for checkpoint in found if checkpoint), key=lambda checkpoint: checkpoint.step)


def adopt(source: Path, target: Path) -> int:
    """Let `target` begin with the complete checkpoints of `source`, by hard links where the disk has them.

    Returns the last step; can be done again after a crash. Raises FileNotFoundError if there is none.
    """
    checkpoints = complete(source)
    if not checkpoints:
        raise FileNotFoundError(f"there is no complete checkpoint in {source.parent.name}")
    for checkpoint in checkpoints:
        final = target / checkpoint.path.name
        if final.exists():
            continue
        unfinished = target / f"adopting-{checkpoint.step}"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(checkpoint.path, unfinished, copy_function=_link_or_copy)
        unfinished.rename(final)
    return checkpoints[-1].step


class Tar:
    """A tar of a checkpoint, made while it is sent. Its files are open from the start, as they may be deleted."""

    def __init__(self, checkpoint: Path) -> None:
        paths = sorted(path for path in checkpoint.rglob("*") if path.is_file())
        names = [f"{checkpoint.name}/{path.relative_to(checkpoint)}" for path in paths]
        self._parts = [(_header(path, name), path.open("rb")) for path, name in zip(paths, names, strict=True)]
        self.size = 2 * BLOCK + sum(
            len(header) + _padded(os.fstat(file.fileno()).st_size) for header, file in self._parts
        )

    def __iter__(self) -> Iterator[bytes]:
        for header, file in self._parts:
            yield header
            sent = 0
            while chunk := file.read(CHUNK_BYTES):
                sent += len(chunk)
                yield chunk
            yield bytes(_padded(sent) - sent)
        yield bytes(2 * BLOCK)

    def close(self) -> None:
        """Let the files go."""
        for _, file in self._parts:
            file.close()


def _header(path: Path, name: str) -> bytes:
    member = tarfile.TarInfo(name)
    status = path.stat()
    member.size, member.mtime = status.st_size, int(status.st_mtime)
    return member.tobuf()


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def _read(path: Path) -> SavedCheckpoint | None:
    try:
        state = path / STATE
        step = json.loads(state.read_bytes())["global_step"]
        saved_at = datetime.fromtimestamp(state.stat().st_mtime, UTC)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    except (OSError, ValueError, KeyError):
        return None
    return SavedCheckpoint(path, step, saved_at, size)
