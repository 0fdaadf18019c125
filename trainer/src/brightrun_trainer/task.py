"""Reads what a run asks for and refuses what this trainer cannot do; without PyTorch, so that it answers at once."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.data import Source, split
from brightrun_trainer.failures import TrainingFailure


@dataclass(frozen=True, slots=True)
class Task:
    """A resolved spec with the conversations to train on and those to hold out."""

    spec: TrainingSpec
    training: Source
    held_out: Source | None


def read_task(run_dir: Path) -> Task:
    """What the run's folder asks for. Raises TrainingFailure if it cannot be done."""
    spec = read_spec(run_dir / "spec.json")
    return Task(spec, *split(run_dir, spec))


def read_spec(path: Path) -> TrainingSpec:
    """The resolved spec. Raises TrainingFailure if it is missing, invalid or asks for something unsupported."""
    try:
        spec = TrainingSpec.model_validate_json(path.read_bytes()).resolved()
    except FileNotFoundError as error:
        raise TrainingFailure("spec_missing", "The run's folder has no spec.json.", "Submit the job again.") from error
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) or item["msg"] for item in error.errors())
        raise TrainingFailure("spec_invalid", f"The training spec is not valid: {fields}.", "Correct it.") from error
    _refuse_unsupported(spec)
    return spec


def _refuse_unsupported(spec: TrainingSpec) -> None:
    if "lm_head" in spec.target_modules:
        raise TrainingFailure(
            "target_modules_unsupported", "lm_head cannot carry a LoRA adapter.", "Take lm_head out of target_modules."
        )
