"""Reads what a run asks for and rejects what the trainer cannot do; without PyTorch, so that it answers at once."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from brightrun.contracts.run_folder import SPEC
from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.data.split import Source, split
from brightrun_trainer.process.failures import TrainingFailure, invalid_fields


@dataclass(frozen=True, slots=True)
class Task:
    """A resolved spec with the examples to train on and those to hold out."""

    spec: TrainingSpec
    training: Source
    held_out: Source | None


def read_task(run_dir: Path) -> Task:
    """The task in the run's folder. Raises TrainingFailure if it is invalid or not supported."""
    try:
        spec = TrainingSpec.model_validate_json((run_dir / SPEC).read_bytes()).resolved()
    except FileNotFoundError as error:
        raise TrainingFailure("spec_missing", "The run's folder has no spec.json.", "Submit the job again.") from error
    except ValidationError as error:
        message = f"The training spec is not valid: {invalid_fields(error)}."
        raise TrainingFailure("spec_invalid", message, "Correct it.") from error
    if "lm_head" in spec.target_modules:
        message = "lm_head cannot carry a LoRA adapter."
        raise TrainingFailure("target_modules_unsupported", message, "Take lm_head out of target_modules.")
    return Task(spec, *split(run_dir, spec))
