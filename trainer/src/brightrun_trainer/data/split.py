"""Which examples are trained on and which are held out."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from brightrun.contracts.run_folder import DATASET, SPEC, VALIDATION
from brightrun.contracts.training import MIN_EXAMPLES_TO_SPLIT, TrainingSpec, is_model_name
from brightrun_trainer.data.examples import Example, read
from brightrun_trainer.process.failures import TrainingFailure, base_model_missing, invalid_fields

HELD_OUT_SHARE, MIN_HELD_OUT, MAX_HELD_OUT = 0.05, 4, 500


@dataclass(frozen=True, slots=True)
class Source:
    """`count` examples of a file: those with the given `indices`, from 0 and without empty lines, or all if None.

    `pairs`: they are preference examples. `role`: what they are for.
    """

    path: Path
    count: int
    pairs: bool
    indices: frozenset[int] | None = None
    role: Literal["training", "validation"] = "training"

    def examples(self) -> Iterator[Example]:
        """Read them one at a time. Raises UnreadableData."""
        return (example for _, example in self.indexed_examples())

    def indexed_examples(self) -> Iterator[tuple[int, Example]]:
        """The same, each with its index in the file. Raises UnreadableData."""
        for index, example in enumerate(read(self.path, self.pairs)):
            if self.indices is None or index in self.indices:
                yield index, example

    def line_numbers(self, indices: Collection[int]) -> list[int]:
        """The file's line numbers, from 1, of the examples with these indices."""
        with self.path.open("rb") as file:
            lines = (number for number, line in enumerate(file, start=1) if line.strip())
            return [number for index, number in enumerate(lines) if index in indices]


def split(run_dir: Path, spec: TrainingSpec) -> tuple[Source, Source | None]:
    """What to train on and what to hold out; the same for the same data, spec and seed.

    Held out is `validation.jsonl` if it exists, else the spec's share, else 5 % (4 to 500) of at least 20 examples.
    Raises TrainingFailure if the data cannot be read or nothing is left for the evaluations that the spec asks for.
    """
    pairs = spec.method == "dpo"
    training = whole_file(run_dir / DATASET, pairs)
    if (run_dir / VALIDATION).exists():
        return training, whole_file(run_dir / VALIDATION, pairs, "validation")
    held_out = _held_out_count(spec, training.count)
    if spec.validation_dataset_id or (not held_out and (spec.early_stopping or spec.eval_steps)):
        raise TrainingFailure(
            "validation_missing",
            "The spec asks for evaluations, but there is nothing to evaluate on.",
            "Give a validation data set or a validation_split, or leave eval_steps and early_stopping out.",
        )
    if not held_out:
        return training, None
    everything = range(training.count)
    chosen = frozenset(random.Random(spec.seed).sample(everything, held_out))  # noqa: S311
    trained = frozenset(everything) - chosen
    validation = Source(training.path, held_out, pairs, chosen, "validation")
    return Source(training.path, len(trained), pairs, trained), validation


def whole_file(path: Path, pairs: bool, role: Literal["training", "validation"] = "training") -> Source:
    """All examples of a file. Raises TrainingFailure if there are none or one cannot be read."""
    if count := sum(1 for _ in read(path, pairs)):
        return Source(path, count, pairs, role=role)
    raise TrainingFailure("data_empty", f"{path.name} holds no example.", "Upload a data set with examples.")


def _held_out_count(spec: TrainingSpec, total: int) -> int:
    if spec.validation_split is not None:
        return min(total - 1, max(1, round(total * spec.validation_split)))
    if total < MIN_EXAMPLES_TO_SPLIT:
        return 0
    return min(MAX_HELD_OUT, max(MIN_HELD_OUT, round(total * HELD_OUT_SHARE)))


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
    if not is_model_name(spec.base_model):
        raise base_model_missing(spec.base_model, "a path is not accepted")
    if "lm_head" in spec.target_modules:
        message = "lm_head cannot carry a LoRA adapter."
        raise TrainingFailure("target_modules_unsupported", message, "Take lm_head out of target_modules.")
    return Task(spec, *split(run_dir, spec))
