"""The checkpoints in a run's folder: which are complete, and how another run adopts them."""

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from brightrun.cluster.files.run_folder import describe_file
from brightrun.contracts.cluster_api import ClusterFile
from brightrun.contracts.events import ADAPTER_FILES
from brightrun.contracts.run_folder import CHECKPOINT_PREFIX, CHECKPOINT_STATE


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A complete checkpoint on disk; `size` is the bytes of its files."""

    path: Path
    step: int
    saved_at: datetime
    size: int


def complete_checkpoints(folder: Path) -> list[SavedCheckpoint]:
    """The complete checkpoints, oldest first."""
    found = (_read(path) for path in folder.glob(f"{CHECKPOINT_PREFIX}*"))
    return sorted((checkpoint for checkpoint in found if checkpoint), key=lambda checkpoint: checkpoint.step)


def describe_checkpoint(folder: Path, step: int) -> tuple[ClusterFile, ...]:
    """The files that hold the adapter of a complete checkpoint. Raises FileNotFoundError if one is missing."""
    path = checkpoint_path(folder, step)
    if _read(path) is None:
        raise FileNotFoundError(path.name)
    return tuple(describe_file(path, name) for name in sorted(ADAPTER_FILES))


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is, if it exists."""
    return folder / f"{CHECKPOINT_PREFIX}{step}"


def adopt(source: Path, target: Path) -> int:
    """Put the complete checkpoints of `source` into `target`, by hard links where the file system has them.

    Returns the last step; can be repeated after a crash. Raises FileNotFoundError if there is none.
    """
    checkpoints = complete_checkpoints(source)
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


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def _read(path: Path) -> SavedCheckpoint | None:
    try:
        state = path / CHECKPOINT_STATE
        step = json.loads(state.read_bytes())["global_step"]
        saved_at = datetime.fromtimestamp(state.stat().st_mtime, UTC)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    except (OSError, ValueError, KeyError):
        return None
    return SavedCheckpoint(path, step, saved_at, size)
