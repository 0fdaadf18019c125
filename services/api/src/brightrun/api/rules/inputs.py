"""Whether what a training is given suits it, and suits together."""

from collections.abc import Iterator

from brightrun.api.inputs import EarlierModel, Inputs
from brightrun.api.models import Dataset, PendingDataset
from brightrun.contracts.events import DatasetRef
from brightrun.contracts.training import TrainingSpec

PREFERENCES = "dpo"
"""The format of data sets of preferences."""
STORED = "stored"
STRUCTURE = ("base_model_revision", "rank", "alpha", "target_modules", "rslora")
"""What an adapter keeps from the training that made it, beside its base model."""

Problems = dict[str, list[str]]


def inherit(wished: TrainingSpec, start: EarlierModel | None) -> TrainingSpec:
    """What is wished, with that in place of what is not given which the adapter to start from has decided."""
    if start is None:
        return wished
    given = wished.model_dump(exclude_unset=True, exclude_none=True)
    decided = {name: getattr(start.spec, name) for name in ("base_model", *STRUCTURE, "chat_template")}
    return wished.model_copy(update={name: value for name, value in decided.items() if name not in given})


def problems(wished: TrainingSpec, inputs: Inputs) -> Problems:
    """What is wrong with what is given, by the order's paths. Data sets that are not checked yet are not looked at."""
    found: Problems = {}
    checked = [one for one in (inputs.dataset, inputs.validation) if one and one.sha256]
    if unsuitable := [reason for one in checked if (reason := mismatch(wished, one))]:
        found["hyperparameters.method"] = unsuitable
    if wished.validation_dataset_id == inputs.dataset.id:
        found["hyperparameters.validation_dataset_id"] = [
            "this is the data set that is trained on: give another one, or use validation_split"
        ]
    if inputs.start:
        found |= {f"hyperparameters.{name}": [reason] for name, reason in _unlike(wished, inputs.start)}
    return found


def mismatch(spec: TrainingSpec, dataset: Dataset | DatasetRef | PendingDataset) -> str | None:
    """Why a data set does not suit the method; None if it does."""
    if (spec.method == "dpo") == (dataset.format == PREFERENCES):
        return None
    if spec.method == "dpo":
        return (
            f"dpo learns from pairs of answers, and {dataset.name} is {dataset.format}: use sft, or a data set of pairs"
        )
    return f"{dataset.name} holds pairs of answers, which {spec.method} cannot learn from: use dpo"


def other_base(spec: TrainingSpec, start: EarlierModel) -> Problems:
    """Whether the adapter belongs to another base model than the one that is trained, by its own name."""
    if spec.base_model == start.spec.base_model:
        return {}
    return {
        "hyperparameters.base_model": [
            f"the model {start.name} is an adapter of {start.spec.base_model}: leave base_model out, or give that"
        ]
    }


def _unlike(wished: TrainingSpec, start: EarlierModel) -> Iterator[tuple[str, str]]:
    if start.status != STORED or not start.files:
        yield "init_from", f"the model {start.name} has no adapter to start from; its status is {start.status!r}"
        return
    for name in STRUCTURE:
        has = getattr(start.spec, name)
        if has is not None and getattr(wished, name) not in (None, has):
            yield name, f"the adapter of {start.name} was made with {_shown(has)}: leave {name} out, or give that"


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
