"""Specs of trainings, and what runs measure."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from brightrun.contracts.values import CostLimit, Money, Utc, Value

Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup"]
ChatTemplate = Literal["plain", "chatml", "llama3", "qwen2_5", "qwen3", "gemma", "phi3"]
DEFAULT_EPOCHS = 3
DEFAULT_BETA = 0.1
MIN_EXAMPLES_TO_SPLIT = 20
"""Of smaller data sets nothing is held out unless the spec asks for it."""


def is_model_name(base_model: str) -> bool:
    """Whether it is `model` or `owner/model`, and no path or URL."""
    parts = base_model.split("/")
    return len(parts) <= 2 and "\\" not in base_model and not {"", ".", ".."}.intersection(parts)


class GpuConfig(BaseModel):
    """Which GPUs a job runs on. `type` is a row of the price table, such as `A100-80GB` or `CPU`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Annotated[str, Field(min_length=1, max_length=64, examples=["A100-80GB"])]
    count: Annotated[int, Field(strict=True, ge=1, le=8)] = 1


class EarlyStopping(BaseModel):
    """Stop after `patience` evaluations whose loss is not lower by at least `min_delta`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patience: Annotated[int, Field(strict=True, ge=1, le=100)]
    min_delta: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0


class TrainingSpec(BaseModel):
    """Everything that decides a training's outcome, apart from the data and the hardware.

    Unset pairs (`alpha`, `epochs`/`max_steps`, warm-up) are filled by `resolved()`. Unknown keys are rejected.
    `beta` (dpo only) is how strongly the model is held to where it starts; `chat_template` replaces the base model's;
    `on_template_loss`: what to do about data that it does not render.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_model: Annotated[str, Field(min_length=1, max_length=256)] = "tiny"
    base_model_revision: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    method: Literal["sft", "dpo"] = "sft"
    beta: Annotated[float, Field(strict=True, gt=0, le=2, allow_inf_nan=False)] | None = None
    chat_template: ChatTemplate | None = None
    on_template_loss: Literal["refuse", "warn"] = "refuse"

    rank: Annotated[int, Field(strict=True, ge=4, le=128)] = 16
    alpha: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = None
    dropout: Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)] = 0.05
    target_modules: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)] | Literal["all-linear"] = (
        "all-linear"
    )
    rslora: StrictBool = False
    init_from: UUID | None = None
    quantization: Literal["none", "nf4"] = "none"

    epochs: Annotated[int, Field(strict=True, ge=1, le=50)] | None = None
    max_steps: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] | None = None
    learning_rate: Annotated[float, Field(strict=True, ge=1e-5, le=1e-3, allow_inf_nan=False)] = 5e-5
    scheduler: Scheduler = "linear"
    warmup_ratio: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = None
    warmup_steps: Annotated[int, Field(strict=True, ge=0)] | None = None
    weight_decay: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = 0.0
    max_grad_norm: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 1.0

    batch_size: Annotated[int, Field(strict=True, ge=1, le=64)] = 4
    gradient_accumulation: Annotated[int, Field(strict=True, ge=1, le=1024)] = 1
    max_length: Annotated[int, Field(strict=True, ge=16, le=1_048_576)] = 1024
    packing: StrictBool = False

    eval_steps: Annotated[int, Field(strict=True, ge=1)] | None = None
    save_steps: Annotated[int, Field(strict=True, ge=1)] | None = None
    checkpoints_kept: Annotated[int, Field(strict=True, ge=1, le=100)] = 2
    early_stopping: EarlyStopping | None = None
    validation_split: Annotated[float, Field(strict=True, gt=0, le=0.5, allow_inf_nan=False)] | None = None
    validation_dataset_id: UUID | None = None
    seed: Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)] = 42

    max_cost: Money | None = None
    max_duration: Annotated[int, Field(strict=True, ge=60, description="seconds")] | None = None

    @model_validator(mode="after")
    def _reject_contradictions(self) -> Self:
        for first, second in (
            ("epochs", "max_steps"),
            ("warmup_ratio", "warmup_steps"),
            ("validation_split", "validation_dataset_id"),
        ):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise ValueError(f"give {first} or {second}, not both")
        if self.method == "dpo" and self.packing:
            raise ValueError("packing goes with method sft: leave packing out, or train with sft")
        if self.method != "dpo" and self.beta is not None:
            raise ValueError("beta goes with method dpo: leave beta out, or train with dpo")
        return self

    def resolved(self) -> "TrainingSpec":
        """The same spec with every default that depends on another field written out."""
        filled: dict[str, object] = {}
        if self.alpha is None:
            filled["alpha"] = 2 * self.rank
        if self.epochs is None and self.max_steps is None:
            filled["epochs"] = DEFAULT_EPOCHS
        if self.warmup_ratio is None and self.warmup_steps is None:
            filled["warmup_ratio"] = 0.0 if self.scheduler == "constant" else 0.03
        if self.method == "dpo" and self.beta is None:
            filled["beta"] = DEFAULT_BETA
        return self.model_copy(update=filled)


class TrainingSpecView(TrainingSpec):
    """A specification in the public API, where amounts are JSON numbers."""

    max_cost: CostLimit | None = None

    @staticmethod
    def of(spec: TrainingSpec) -> "TrainingSpecView":
        """The same specification."""
        return TrainingSpecView.model_construct(**dict(spec))


class MetricPoint(Value):
    """What the trainer measured at one optimizer step; what was not measured is None."""

    step: Annotated[int, Field(ge=0)]
    epoch: float
    training_loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    token_accuracy: float | None = None
    tokens_per_second: float | None = None
    memory_mb: float | None = None
    gpu_utilization: float | None = None
    validation_token_accuracy: float | None = None


class Checkpoint(Value):
    """A state of a run that is complete on its cluster's disk: the adapter after `step` optimizer steps."""

    step: Annotated[int, Field(ge=0)]
    saved_at: Utc


GPU_TIMEOUT = "gpu_timeout"
TRAINER_ERROR, TRAINER_CRASHED, TRAINER_KILLED = "trainer_error", "trainer_crashed", "trainer_killed"
UNEXPLAINED = frozenset({TRAINER_ERROR, TRAINER_CRASHED, TRAINER_KILLED})
"""Codes of errors whose cause nobody knows. One that comes back at the same step with the same message is final."""


class JobError(Value):
    """Why a run failed: a stable `code`, a sentence, and what the user can do about it."""

    code: str
    message: str
    advice: str | None = None
    retryable: bool = False
