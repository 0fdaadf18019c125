"""A fine-tuning as OpenAI's clients ask for it becomes an request of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError

from brightrun.api.http.errors import Invalid
from brightrun.api.jobs.models import JobRequest
from brightrun.api.openai.errors import FileNotFound, Unsupported
from brightrun.api.openai.rules import ids
from brightrun.api.openai.rules.ids import FINE_TUNED
from brightrun.api.openai.schemas.fine_tuning import CreateJob, DpoHyperparameters, Hyperparameters
from brightrun.contracts.training import GpuConfig, TrainingSpec

LEARNING_RATE = 1e-4
"""What a `learning_rate_multiplier` multiplies."""
LOWEST_RATE, HIGHEST_RATE = 1e-5, 1e-3
MAX_DEVICE_BATCH = 64
AUTO_EPOCHS, AUTO_BATCH, AUTO_RANK = 3, 4, 16
THEIR_WORDS = {
    "base_model": "model",
    "method": "method",
    "epochs": "n_epochs",
    "gradient_accumulation": "batch_size",
    "validation_dataset_id": "validation_file",
    "beta": "method.dpo.hyperparameters.beta",
}
"""Hyperparameters of ours that have another name in OpenAI's words."""
EXTRAS = TrainingSpec.model_fields.keys() - THEIR_WORDS.keys() - CreateJob.model_fields.keys() - {"batch_size"}
"""Hyperparameters of ours that OpenAI has no word for."""
UNSUPPORTED_METHODS = {
    "reinforcement": "reinforcement fine-tuning needs graders, which this platform does not have: use supervised",
}
Problems = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Translation:
    """An request of ours, and `places`: where each of its fields stands in the request."""

    request: JobRequest
    places: Mapping[str, str]

    def replace(self, problems: Any) -> Any:
        """What is wrong with the request, by the request's fields."""
        if not isinstance(problems, dict):
            return problems
        return {self.places.get(path.removeprefix("hyperparameters."), path): told for path, told in problems.items()}


def translate(body: CreateJob, model: str | UUID, default_gpu: str) -> Translation:
    """The order; raises Invalid with every wrong field, Unsupported for what this platform does not do.

    `model`: a base model, or the artifact of a fine-tuned one, whose adapter the training goes on with.
    """
    _refuse_unsupported(body)
    prefix, asked, problems = _hyperparameters(body)
    extras, places, wrong = _extras(body, asked, prefix)
    problems |= wrong
    values, wrong = _values(asked, extras, prefix)
    problems |= wrong
    if isinstance(model, str):
        values = {"base_model": model, "rank": AUTO_RANK} | values
    elif "init_from" in extras:
        problems[places["init_from"]] = ["model names the model to start from already"]
    else:
        values["init_from"], places["init_from"] = model, "model"
    places |= {
        "base_model": "model",
        "method": "method.type",
        "dataset_id": "training_file",
        "validation_dataset_id": "validation_file",
        "epochs": f"{prefix}n_epochs",
        "batch_size": f"{prefix}batch_size",
        "gradient_accumulation": f"{prefix}batch_size",
    }
    places.setdefault("learning_rate", f"{prefix}learning_rate_multiplier")
    values |= body.model_dump(include={"seed", "max_cost", "max_duration"}, exclude_none=True)
    if body.method and body.method.type == "dpo":
        values["method"] = "dpo"
    if body.validation_file is not None:
        values["validation_dataset_id"] = read_file("validation_file", body.validation_file)
    spec, wrong = _spec(values, places, prefix)
    if problems | wrong or spec is None:
        raise Invalid(problems | wrong)
    request = JobRequest(
        dataset_id=read_file("training_file", body.training_file),
        preset_id="custom",
        gpu=body.gpu_config or GpuConfig(type=default_gpu),
        hyperparameters=spec,
        dialect="openai",
        suffix=body.suffix,
        metadata=body.metadata or {},
        may_await_dataset=True,
    )
    return Translation(request, places)


def read_file(field: str, file_id: str) -> UUID:
    """The data set that a field of the request names."""
    dataset_id = ids.read(ids.FILE, file_id)
    if dataset_id is None:
        raise FileNotFound({field: [f"{file_id!a} is no identifier of an uploaded file"]})
    return dataset_id


def split_batch(size: int) -> tuple[int, int]:
    """A batch as examples on the device at one time, as many as fit, and how often they are accumulated."""
    device = max(divisor for divisor in range(1, min(size, MAX_DEVICE_BATCH) + 1) if size % divisor == 0)
    return device, size // device


def _refuse_unsupported(body: CreateJob) -> None:
    problems: Problems = {}
    if body.method and body.method.type in UNSUPPORTED_METHODS:
        problems["method.type"] = [UNSUPPORTED_METHODS[body.method.type]]
    if body.integrations:
        problems["integrations"] = ["there are none here: follow the job's events, or have webhooks sent"]
    if problems:
        raise Unsupported(problems)


def _hyperparameters(body: CreateJob) -> tuple[str, Hyperparameters, Problems]:
    """Where the hyperparameters stand, what they are, and what is wrong with that."""
    kind = body.method.type if body.method else "supervised"
    configured = getattr(body.method, kind, None)
    in_method: Hyperparameters | None = configured.hyperparameters if configured else None
    if in_method is None:
        return "hyperparameters.", body.hyperparameters or Hyperparameters(), {}
    twice = {"hyperparameters": [f"give hyperparameters or method.{kind}.hyperparameters, not both"]}
    return f"method.{kind}.hyperparameters.", in_method, twice if body.hyperparameters else {}


def _extras(body: CreateJob, asked: Hyperparameters, prefix: str) -> tuple[dict[str, Any], dict[str, str], Problems]:
    """Our hyperparameters among those of OpenAI or beside them, where they stand, and what is wrong with that."""
    extras: dict[str, Any] = {}
    places: dict[str, str] = {}
    problems: Problems = {}
    for where, given in ((prefix, asked.model_extra or {}), ("", body.model_extra or {})):
        for name, value in given.items():
            if name in THEIR_WORDS:
                problems[where + name] = [f"say it as {THEIR_WORDS[name]}"]
            elif name not in EXTRAS:
                problems[where + name] = [f"unknown; there are {', '.join(sorted(EXTRAS))}"]
            elif name in extras:
                problems[where + name] = [f"is there twice, here and in {places[name]}"]
            else:
                extras[name], places[name] = value, where + name
    return extras, places, problems


def _values(asked: Hyperparameters, extras: dict[str, Any], prefix: str) -> tuple[dict[str, Any], Problems]:
    """The hyperparameters in our words, `auto` resolved, and what is contradictory."""
    problems: Problems = {}
    device, accumulation = split_batch(asked.batch_size or AUTO_BATCH)
    values = {"batch_size": device, "gradient_accumulation": accumulation} | extras
    if isinstance(asked, DpoHyperparameters) and asked.beta is not None:
        values["beta"] = asked.beta
    if "max_steps" not in extras:
        values["epochs"] = asked.n_epochs or AUTO_EPOCHS
    elif asked.n_epochs is not None:
        problems[f"{prefix}n_epochs"] = ["give n_epochs or max_steps, not both"]
    if "learning_rate" not in extras:
        rate = float(f"{LEARNING_RATE * (asked.learning_rate_multiplier or 1.0):.10g}")
        values["learning_rate"] = min(max(rate, LOWEST_RATE), HIGHEST_RATE)
        if values["learning_rate"] != rate:
            problems[f"{prefix}learning_rate_multiplier"] = [
                f"must be {LOWEST_RATE / LEARNING_RATE:g} to {HIGHEST_RATE / LEARNING_RATE:g}, "
                f"as it multiplies a learning rate of {LEARNING_RATE:g}"
            ]
    elif asked.learning_rate_multiplier is not None:
        problems[f"{prefix}learning_rate_multiplier"] = ["give learning_rate_multiplier or learning_rate, not both"]
    return values, problems


def _spec(values: dict[str, Any], places: Mapping[str, str], prefix: str) -> tuple[TrainingSpec | None, Problems]:
    try:
        return TrainingSpec.model_validate(values), {}
    except ValidationError as errors:
        problems: Problems = {}
        for error in errors.errors():
            name, *rest = error["loc"] or ("",)
            path = ".".join([places.get(str(name), str(name)) or prefix.rstrip("."), *map(str, rest)])
            problems.setdefault(path, []).append(error["msg"].removeprefix("Value error, "))
        return None, problems


class Named(Protocol):
    """A base model of the installation."""

    @property
    def name(self) -> str:
        """What it is called here."""

    @property
    def aliases(self) -> Sequence[str]:
        """What clients may call it as well, such as the model of OpenAI that it stands in for."""


def find_base_model(name: str, known: Sequence[Named]) -> str | None:
    """The base model of that name or alias; any name with an owner (`owner/model`) may be on the hub.

    A checkpoint's name (`ft:owner/model:…:ckpt-step-8`) is none.
    """
    for base in known:
        if name == base.name or name in base.aliases:
            return base.name
    return name if "/" in name and not name.startswith(FINE_TUNED) else None


def base_model_names(known: Sequence[Named]) -> list[str]:
    """Every name and alias that can be asked for."""
    return [name for base in known for name in (base.name, *base.aliases)]
