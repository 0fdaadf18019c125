"""Rows of this slice, and the small values that rules and rows share."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from brightrun.artifacts.leases import Lease
from brightrun.contracts.events import AdapterRef, DatasetRef, Pricing
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import Value

Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Mean cross-entropy in nats."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the store was given: size in bytes and digest."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Objects to be removed: all whose key begins with `prefix`."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Part:
    """A stored part of an upload; `size` in bytes."""

    id: UUID
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes in parts. `size`: bytes that were announced; `busy`: it is being put together."""

    id: UUID
    user_id: UUID
    filename: str
    size: int
    status: str
    created_at: datetime
    expires_at: datetime
    dataset_id: UUID | None
    part_ids: list[UUID] | None
    fence: int
    busy: bool


@dataclass(frozen=True, slots=True)
class Assembly:
    """The right to put the `parts` of an upload together, in this order, as a data set."""

    lease: Lease
    upload: Upload
    dataset_id: UUID
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded data set and the result of its validation."""

    id: UUID
    user_id: UUID
    name: str
    format: str
    status: str
    size: int
    sha256: str
    training_pairs: int
    tokens: int
    duplicates: int
    error_count: int
    errors_by_code: dict[str, int]
    created_at: datetime
    validated_at: datetime | None
    fence: int

    @property
    def lease(self) -> Lease:
        """The lease under which this row was read."""
        return Lease(self.id, self.fence)


@dataclass(frozen=True, slots=True)
class Issue:
    """One error of a data set: `line` counts from 1 (0: the whole data set), `path` is a JSON path within the line."""

    line: int
    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a validation found. `issues` are the first of the `error_count` errors."""

    format: str
    training_pairs: int
    tokens: int
    duplicates: int
    errors_by_code: dict[str, int]
    issues: tuple[Issue, ...]

    @property
    def error_count(self) -> int:
        """How many errors there are in all."""
        return sum(self.errors_by_code.values())


class Curve(Value):
    """A job's loss curve in a few numbers; losses are mean cross-entropies in nats.

    Of the `trained_points` with a training loss: `opening_loss` is the mean of the first, `smooth_loss` that of the
    last, `best_smooth_loss` the lowest that it was.
    """

    points: int = 0
    last_step: int = 0
    last_epoch: float = 0.0
    first_training_loss: float | None = None
    best_training_loss: float | None = None
    last_training_loss: float | None = None
    best_validation_loss: float | None = None
    last_validation_loss: float | None = None
    previous_validation_loss: float | None = None
    trained_points: int = 0
    opening_loss: float | None = None
    smooth_loss: float | None = None
    best_smooth_loss: float | None = None


class Comparison(Value):
    """Base model against adapter on held-out examples.

    Accuracies are shares from 0 to 1: of next tokens guessed right; of pairs of answers, whose preferred one is found
    likelier; `reward_accuracy` of pairs, to whose preferred answer the adapter leans more than its base model.
    """

    base_loss: Loss
    adapter_loss: Loss
    examples: int
    base_token_accuracy: Share | None = None
    adapter_token_accuracy: Share | None = None
    base_preference_accuracy: Share | None = None
    adapter_preference_accuracy: Share | None = None
    reward_accuracy: Share | None = None

    def figures(self) -> dict[str, Any]:
        """By the names that quality metrics have for them."""
        return {"compared_examples": self.examples, **self.model_dump(exclude={"examples"})}


class QualityMetrics(Value):
    """The verdict on a training and the figures behind it."""

    overall_score: int
    convergence_quality: str
    reason: str
    initial_training_loss: float | None = None
    final_training_loss: float | None = None
    best_training_loss: float | None = None
    final_validation_loss: float | None = None
    best_validation_loss: float | None = None
    perplexity: float | None = None
    overfitting_gap: float | None = None
    base_loss: float | None = None
    adapter_loss: float | None = None
    compared_examples: int | None = None
    base_perplexity: float | None = None
    base_token_accuracy: float | None = None
    adapter_token_accuracy: float | None = None
    base_preference_accuracy: float | None = None
    adapter_preference_accuracy: float | None = None
    reward_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """What a completed job leaves, from the moment its files are expected.

    `trained_seconds` are without pauses. `stopped_by`: the limit that ended the training early, `budget` or `duration`.
    `validation`: the data set that it was evaluated on; `start`: the adapter that it went on with.
    """

    id: UUID
    job_id: UUID
    user_id: UUID
    name: str
    version: str
    status: str
    cluster: str
    external_job_id: str
    spec: TrainingSpec
    gpu: GpuConfig
    dataset: DatasetRef
    pricing: Pricing
    trained_tokens: int
    started_at: datetime
    finished_at: datetime
    trained_seconds: float
    cost: Decimal
    stopped_by: str | None
    curve: Curve | None
    quality: QualityMetrics | None
    created_at: datetime
    tries: int
    problem: str | None
    fence: int
    validation: DatasetRef | None
    start: AdapterRef | None

    @property
    def lease(self) -> Lease:
        """The lease under which this row was read."""
        return Lease(self.id, self.fence)
