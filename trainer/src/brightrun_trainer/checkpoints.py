"""The checkpoints in a run's folder."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint after `step` of `planned_steps`; `trained_tokens` counts from the run's first step.

    `best_step` is the step of the lowest validation loss so far, if there is one.
    """

    path: Path
    step: int
    planned_steps: int
    trained_tokens: int
    best_step: int | None


def newest(folder: Path) -> Checkpoint | None:
    """The complete checkpoint with the highest step; None if there is none."""
    found = [checkpoint for path in folder.glob(f"{PREFIX}*") if (checkpoint := _read(path))]
    return max(found, key=_step, default=None)


def keep(folder: Path, count: int, best_step: int | None) -> None:
    """Delete all complete checkpoints but the `count` newest and that of the best step."""
    found = sorted((checkpoint for path in folder.glob(f"{PREFIX}*") if (checkpoint := _read(path))), key=_step)
    for checkpoint in found[:-count]:
        if checkpoint.step != best_step:
            shutil.rmtree(checkpoint.path, ignore_errors=True)


def _step(checkpoint: Checkpoint) -> int:
    return checkpoint.step


def _read(path: Path) -> Checkpoint | None:
    """The state is the last file that Transformers writes, so a checkpoint whose state can be read is complete."""
    try:
        state = json.loads((path / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return None
    return Checkpoint(
        path=path,
        step=state["global_step"],
        planned_steps=state["max_steps"],
        trained_tokens=state["num_input_tokens_seen"],
        best_step=state.get("best_global_step"),
    )
