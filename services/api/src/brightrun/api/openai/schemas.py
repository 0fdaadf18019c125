"""Bodies of fine-tuning jobs."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from brightrun.api.http.bodies import Body, example
from brightrun.contracts.training import GpuConfig
from brightrun.contracts.values import CostLimit

LevelOfEvent = Literal["info", "warn", "error"]
StatusOfJob = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]


def _or_auto(schema: dict[str, Any]) -> tuple[BeforeValidator, WithJsonSchema]:
    """`"auto"` means the default."""
    shape = {"anyOf": [{"const": "auto"}, schema, {"type": "null"}]}
    return BeforeValidator(lambda value: None if value == "auto" else value), WithJsonSchema(shape)


Epochs = Annotated[
    Annotated[int, Field(ge=1, le=50, strict=True)] | None,
    *_or_auto({"type": "integer", "minimum": 1, "maximum": 50}),
]
BatchSize = Annotated[
    Annotated[int, Field(ge=1, le=256, strict=True)] | None,
    *_or_auto({"type": "integer", "minimum": 1, "maximum": 256}),
]
Multiplier = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] | None,
    *_or_auto({"type": "number", "exclusiveMinimum": 0}),
]

Beta = Annotated[
    Annotated[float, Field(gt=0, le=2, allow_inf_nan=False, strict=True)] | None,
    *_or_auto({"type": "number", "exclusiveMinimum": 0, "maximum": 2}),
]


class Hyperparameters(Body):
    """OpenAI's three hyperparameters, and any of ours: `rank`, `alpha`, `learning_rate`, `max_length`, …"""

    model_config = ConfigDict(extra="allow")

    n_epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate_multiplier: Multiplier = None


class Supervised(Body):
    """Supervised fine-tuning."""

    hyperparameters: Hyperparameters | None = None


class DpoHyperparameters(Hyperparameters):
    """With `beta`: the weight of the distance to the original model."""

    beta: Beta = None


class Dpo(Body):
    """Direct preference optimisation."""

    hyperparameters: DpoHyperparameters | None = None


class Method(Body):
    """The training method; configurations of unsupported methods are not validated."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None
    reinforcement: Any = None


Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


class CreateJob(Body):
    """A new fine-tuning job. Fields that OpenAI does not know are sent with `extra_body`:

    `gpu_config`, the limits `max_cost` (USD) and `max_duration` (seconds), and any hyperparameter of ours.
    """

    model_config = ConfigDict(
        extra="allow",
        **example(
            {
                "model": "tiny",
                "training_file": "file-01a20f5d0c5e700080005d1c2a9b7e10",
                "suffix": "workshop",
                "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "rank": 16}}},
            }
        ),
    )

    model: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    training_file: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    validation_file: Annotated[str, StringConstraints(max_length=100)] | None = None
    suffix: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    seed: Annotated[int, Field(ge=0, le=2_147_483_647, strict=True)] | None = None
    metadata: Metadata | None = None
    integrations: list[Any] | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    gpu_config: GpuConfig | None = None
    max_cost: CostLimit | None = None
    max_duration: Annotated[int, Field(strict=True, ge=60, description="seconds")] | None = None


class ResolvedHyperparameters(BaseModel):
    """Resolved hyperparameters. `learning_rate_multiplier` is a multiple of 0.0001."""

    n_epochs: int | Literal["auto"]
    batch_size: int
    learning_rate_multiplier: float


class ResolvedSupervised(BaseModel):
    """Supervised fine-tuning with resolved hyperparameters."""

    hyperparameters: ResolvedHyperparameters


class ResolvedDpoHyperparameters(ResolvedHyperparameters):
    """Resolved hyperparameters with `beta`."""

    beta: float


class ResolvedDpo(BaseModel):
    """Direct preference optimisation with resolved hyperparameters."""

    hyperparameters: ResolvedDpoHyperparameters


class ResolvedMethod(BaseModel):
    """The method of a job."""

    type: Literal["supervised", "dpo"] = "supervised"
    supervised: ResolvedSupervised | None = None
    dpo: ResolvedDpo | None = None


class JobErrorView(BaseModel):
    """The error of a failed job."""

    code: str
    message: str
    param: str | None


class FineTuningJob(BaseModel):
    """A fine-tuning job; times in Unix seconds."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: StatusOfJob
    hyperparameters: ResolvedHyperparameters
    method: ResolvedMethod
    training_file: str
    validation_file: str | None
    result_files: list[str]
    trained_tokens: int | None
    error: JobErrorView | None
    seed: int
    estimated_finish: int | None
    integrations: list[Any]
    metadata: dict[str, str]


class FineTuningJobEvent(BaseModel):
    """A line of a job's log."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: LevelOfEvent
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class CheckpointMetrics(BaseModel):
    """Metrics of a checkpoint. Every validation covers the whole validation set."""

    step: int
    train_loss: float | None
    train_mean_token_accuracy: float | None
    valid_loss: float | None
    valid_mean_token_accuracy: float | None
    full_valid_loss: float | None
    full_valid_mean_token_accuracy: float | None


class FineTuningJobCheckpoint(BaseModel):
    """A checkpoint of a job. `expires_at`: when it will be deleted; null while its training goes on.

    `available`: whether a job can start from it now; null if its cluster does not answer.
    """

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: CheckpointMetrics
    available: bool | None
    expires_at: int | None


class Checkpoints(BaseModel):
    """A part of a job's checkpoints, newest first."""

    object: Literal["list"] = "list"
    data: list[FineTuningJobCheckpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool
