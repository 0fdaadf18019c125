"""Translation of OpenAI's fine-tuning requests into job requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from brightrun.api.errors import FileNotFound, Invalid, Unsupported
from brightrun.api.jobs.models import JobRequest
from brightrun.api.openai import ids
from brightrun.api.openai.ids import FINE_TUNED
from brightrun.api.openai.schemas import CreateJob, DpoHyperparameters, Hyperparameters
from brightrun.api.pricing.models import BaseModel
from brightrun.contracts.training import GpuConfig, TrainingSpec, TrainingSpecView

LEARNING_RATE = 1e-4
"""Times `learning_rate_multiplier`."""
LOWEST_RATE, HIGHEST_RATE = 1e-5, 1e-3
MAX_DEVICE_BATCH = 64
AUTO_EPOCHS, AUTO_BATCH, AUTO_RANK = 3, 4, 16
OPENAI_NAMES = {
    "base_model": "model",
    "method": "method",
    "epochs": "n_epochs",
    "gradient_accumulation": "batch_size",
    "validation_dataset_id": "validation_file",
    "beta": "method.dpo.hyperparameters.beta",
}
"""Hyperparameters that OpenAI names differently."""
EXTRAS = TrainingSpec.model_fields.keys() - OPENAI_NAMES.keys() - CreateJob.model_fields.keys() - {"batch_size"}
"""Hyperparameters that OpenAI does not have."""
UNSUPPORTED_METHODS = {
    "reinforcement": "reinforcement fine-tuning needs graders, which this platform does not have: use supervised",
}
Problems = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Translation:
    """A job request, and `fields`: the field of OpenAI's request for each of its own."""

    request: JobRequest
    fields: Mapping[str, str]

    def rename(self, problems: Any) -> Any:
        """The problems of the job request, by the fields of OpenAI's request."""
        if not isinstance(problems, dict):
            return problems
        return {
            self.fields.get(path.removeprefix("hyperparameters."), path): problem for path, problem in problems.items()
        }


def translate(body: CreateJob, model: str | UUID, default_gpu: str) -> Translation:
    """The job request. Raises Invalid with every wrong field, Unsupported, FileNotFound.

    `model`: a base model, or the artifact of a fine-tuned one, whose adapter the training continues.
    """
    _reject_unsupported(body)
    prefix, submitted, problems = _hyperparameters(body)
    extras, fields, more = _extras(body, submitted, prefix)
    problems |= more
    values, more = _values(submitted, extras, prefix)
    problems |= more
    if isinstance(model, str):
        values = {"base_model": model, "rank": AUTO_RANK} | values
    elif "init_from" in extras:
        problems[fields["init_from"]] = ["model names the model to start from already"]
    else:
        values["init_from"], fields["init_from"] = model, "model"
    fields |= {
        "base_model": "model",
        "max_cost": "max_cost",
        "max_duration": "max_duration",
        "method": "method.type",
        "dataset_id": "training_file",
        "validation_dataset_id": "validation_file",
        "epochs": f"{prefix}n_epochs",
        "batch_size": f"{prefix}batch_size",
        "gradient_accumulation": f"{prefix}batch_size",
    }
    fields.setdefault("learning_rate", f"{prefix}learning_rate_multiplier")
    values |= body.model_dump(include={"seed", "max_cost", "max_duration"}, exclude_none=True)
    if body.method and body.method.type == "dpo":
        values["method"] = "dpo"
    if body.validation_file is not None:
        values["validation_dataset_id"] = read_file("validation_file", body.validation_file)
    spec, more = _spec(values, fields, prefix)
    if problems | more or spec is None:
        raise Invalid(problems | more)
    request = JobRequest(
        dataset_id=read_file("training_file", body.training_file),
        preset_id="custom",
        gpu_config=body.gpu_config or GpuConfig(type=default_gpu),
        hyperparameters=spec,
        dialect="openai",
        suffix=body.suffix,
        metadata=body.metadata or {},
        may_await_dataset=True,
    )
    return Translation(request, fields)


def read_file(field: str, file_id: str) -> UUID:
    """The data set of a file id. Raises FileNotFound."""
    dataset_id = ids.read(ids.FILE, file_id)
    if dataset_id is None:
        raise FileNotFound({field: [f"{file_id!a} is no identifier of an uploaded file"]})
    return dataset_id


def split_batch(size: int) -> tuple[int, int]:
    """A batch as examples per device, as many as possible, and accumulation steps."""
    device = max(divisor for divisor in range(1, min(size, MAX_DEVICE_BATCH) + 1) if size % divisor == 0)
    return device, size // device


def _reject_unsupported(body: CreateJob) -> None:
    problems: Problems = {}
    if body.method and body.method.type in UNSUPPORTED_METHODS:
        problems["method.type"] = [UNSUPPORTED_METHODS[body.method.type]]
    if body.integrations:
        problems["integrations"] = ["there are none here: follow the job's events, or have webhooks sent"]
    if problems:
        raise Unsupported(problems)


def _hyperparameters(body: CreateJob) -> tuple[str, Hyperparameters, Problems]:
    """The prefix of the hyperparameters' fields, the hyperparameters, and problems."""
    kind = body.method.type if body.method else "supervised"
    configured = getattr(body.method, kind, None)
    in_method: Hyperparameters | None = configured.hyperparameters if configured else None
    if in_method is None:
        return "hyperparameters.", body.hyperparameters or Hyperparameters(), {}
    twice = {"hyperparameters": [f"give hyperparameters or method.{kind}.hyperparameters, not both"]}
    return f"method.{kind}.hyperparameters.", in_method, twice if body.hyperparameters else {}


def _extras(
    body: CreateJob, submitted: Hyperparameters, prefix: str
) -> tuple[dict[str, Any], dict[str, str], Problems]:
    """Our hyperparameters among or beside OpenAI's, their fields, and problems."""
    extras: dict[str, Any] = {}
    fields: dict[str, str] = {}
    problems: Problems = {}
    for field_prefix, extra in ((prefix, submitted.model_extra or {}), ("", body.model_extra or {})):
        for name, value in extra.items():
            if name in OPENAI_NAMES:
                problems[field_prefix + name] = [f"say it as {OPENAI_NAMES[name]}"]
            elif name not in EXTRAS:
                problems[field_prefix + name] = [f"unknown; there are {', '.join(sorted(EXTRAS))}"]
            elif name in extras:
                problems[field_prefix + name] = [f"is there twice, here and in {fields[name]}"]
            else:
                extras[name], fields[name] = value, field_prefix + name
    return extras, fields, problems


def _values(submitted: Hyperparameters, extras: dict[str, Any], prefix: str) -> tuple[dict[str, Any], Problems]:
    """The hyperparameters with our names, `auto` resolved, and contradictions."""
    problems: Problems = {}
    device, accumulation = split_batch(submitted.batch_size or AUTO_BATCH)
    values = {"batch_size": device, "gradient_accumulation": accumulation} | extras
    if isinstance(submitted, DpoHyperparameters) and submitted.beta is not None:
        values["beta"] = submitted.beta
    if "max_steps" not in extras:
        values["epochs"] = submitted.n_epochs or AUTO_EPOCHS
    elif submitted.n_epochs is not None:
        problems[f"{prefix}n_epochs"] = ["give n_epochs or max_steps, not both"]
    if "learning_rate" not in extras:
        rate = float(f"{LEARNING_RATE * (submitted.learning_rate_multiplier or 1.0):.10g}")
        values["learning_rate"] = min(max(rate, LOWEST_RATE), HIGHEST_RATE)
        if values["learning_rate"] != rate:
            problems[f"{prefix}learning_rate_multiplier"] = [
                f"must be {LOWEST_RATE / LEARNING_RATE:g} to {HIGHEST_RATE / LEARNING_RATE:g}, "
                f"as it multiplies a learning rate of {LEARNING_RATE:g}"
            ]
    elif submitted.learning_rate_multiplier is not None:
        problems[f"{prefix}learning_rate_multiplier"] = ["give learning_rate_multiplier or learning_rate, not both"]
    return values, problems


def _spec(values: dict[str, Any], fields: Mapping[str, str], prefix: str) -> tuple[TrainingSpec | None, Problems]:
    try:
        return TrainingSpecView.model_validate(values), {}
    except ValidationError as errors:
        problems: Problems = {}
        for error in errors.errors():
            name, *rest = error["loc"] or ("",)
            path = ".".join([fields.get(str(name), str(name)) or prefix.rstrip("."), *map(str, rest)])
            problems.setdefault(path, []).append(error["msg"].removeprefix("Value error, "))
        return None, problems


def is_base_model(name: str, known: Sequence[BaseModel]) -> bool:
    """Whether the name or alias is known, or that of a model with an owner (`owner/model`), which may be on the hub.

    A checkpoint's name (`ft:owner/model:…:ckpt-step-8`) is none.
    """
    return name in base_model_names(known) or ("/" in name and not name.startswith(FINE_TUNED))


def base_model_names(known: Sequence[BaseModel]) -> list[str]:
    """Every name and alias that can be submitted for."""
    return [name for base in known for name in (base.name, *base.aliases)]
