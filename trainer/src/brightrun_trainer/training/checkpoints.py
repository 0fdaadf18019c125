"""The checkpoints in a run's folder."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from brightrun.contracts.run_folder import CHECKPOINT_PREFIX, CHECKPOINT_STATE


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A complete checkpoint after `step` of `planned_steps`; `trained_tokens` counts from the run's first step."""

    step: int
    planned_steps: int
    trained_tokens: int
    path: Path


def newest(folder: Path) -> Checkpoint | None:
    """The complete checkpoint with the highest step; None if there is none."""
    return max(_complete(folder), default=None)


def delete_old(folder: Path, keep: int, best_step: int | None) -> None:
    """Delete all complete checkpoints except the `keep` newest and that of the best step."""
    for checkpoint in sorted(_complete(folder))[:-keep]:
        if checkpoint.step != best_step:
            shutil.rmtree(checkpoint.path, ignore_errors=True)


def _complete(folder: Path) -> list[Checkpoint]:
    """Transformers writes the state last, so a checkpoint whose state can be read is complete."""
    checkpoints = []
    for path in folder.glob(f"{CHECKPOINT_PREFIX}*"):
        try:
            state = json.loads((path / CHECKPOINT_STATE).read_text())
        except (OSError, ValueError):
            continue
        tokens = state["num_input_tokens_seen"]
        checkpoints.append(Checkpoint(state["global_step"], state["max_steps"], tokens, path))
    return checkpoints
