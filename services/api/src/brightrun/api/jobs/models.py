"""Rows of the gateway's slice."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from brightrun.api.datasets.models import Dataset, PendingDataset
from brightrun.api.models.models import StartingModel
from brightrun.api.pricing.models import PresetId
from brightrun.contracts.events import AdapterRef, DatasetRef, Pricing, Segment
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import GpuConfig, JobError, TrainingSpec
from brightrun.contracts.values import Money, Utc, Value

Dialect = Literal["api", "openai"]


KEY_LIFETIME = timedelta(hours=24)
REPETITION_WINDOW = timedelta(minutes=10)
"""How long after a job a client without keys may still ask for it again."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A training that is asked for, through whichever face.

    `may_await_dataset`: whether the job may be recorded while its data sets are still being checked.
    """

    dataset_id: UUID
    preset_id: PresetId
    gpu: GpuConfig
    hyperparameters: TrainingSpec
    name: str | None = None
    estimated_cost: Decimal | None = None
    accept_estimate: bool = False
    dialect: Dialect = "api"
    suffix: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    retry_of: UUID | None = None
    cloned_from: UUID | None = None
    may_await_dataset: bool = False

    @property
    def dataset_ids(self) -> list[UUID]:
        """The data sets that it names: to train on, and to evaluate on if that is another."""
        validation_id = self.hyperparameters.validation_dataset_id
        return list(dict.fromkeys([self.dataset_id, validation_id])) if validation_id else [self.dataset_id]


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """What tells whether an order was sent before.

    `sha256` is the digest of all that was asked, `key` the caller's Idempotency-Key. A `guarded` order comes from a
    client that repeats requests without a key; it is `repeated` when that client says that it is a repetition.
    """

    sha256: bytes
    began_at: datetime
    key: str | None = None
    guarded: bool = False
    repeated: bool = False


class Start(AdapterRef):
    """The model whose adapter a job starts from, as it was then; `suffix` is a part of its name at OpenAI's face."""

    suffix: str | None = None


class AwaitingDataset(Value):
    """What a held job will be quoted with, beside its pricing: tokens a second of all its GPUs."""

    tokens_per_second: int


class Latest(Value):
    """The newest progress that is known, by `(attempt, seq)`."""

    attempt: int
    seq: int
    stage: str
    percent: float
    step: int
    total_steps: int
    epoch: float
    total_epochs: float
    trained_tokens: int
    eta_seconds: float | None = None
    started_at: Utc | None = None

    @property
    def order(self) -> tuple[int, int]:
        """Its place in the job's history."""
        return self.attempt, self.seq


class Reading(Value):
    """The last known value of a metric, and which progress brought it."""

    attempt: int
    seq: int
    value: float


class Ending(Value):
    """How a job ended, and what its GPUs cost.

    `seconds`: how long it trained, without pauses. `stopped_by`: the limit that ended it, `budget` or `duration`.
    """

    started_at: Utc | None
    finished_at: Utc
    compute_cost: Money
    trained_tokens: int
    error: JobError | None = None
    seconds: float | None = None
    stopped_by: str | None = None


class StoredArtifact(Value):
    """The model that a job left, and what storing it costs."""

    artifact_id: UUID
    storage_cost: Money


LIVE = frozenset({JobStatus.INITIALIZING, JobStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class Job:
    """One requested training: what was asked, what was promised, and how it stands as far as events have told.

    `segments`: what is billed of attempts that ended in a pause. `pause_turn` counts the user's requests to pause and
    to resume it. `unpausable_attempt`: the newest that its cluster cannot save and resume.
    """

    id: UUID
    user_id: UUID
    name: str
    preset_id: PresetId
    gpu: GpuConfig
    submitted: dict[str, Any]
    spec: TrainingSpec
    pricing: Pricing
    estimated_cost: Decimal
    dataset: DatasetRef | PendingDataset
    planned_steps: int
    planned_epochs: int
    planned_seconds: int | None
    queued_at: datetime
    dialect: Dialect = "api"
    suffix: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    retry_of: UUID | None = None
    cloned_from: UUID | None = None
    awaiting_dataset: AwaitingDataset | None = None
    validation: DatasetRef | PendingDataset | None = None
    start: Start | None = None
    cancel_requested_at: datetime | None = None
    pause_requested_at: datetime | None = None
    pause_turn: int = 0
    unpausable_attempt: int = 0
    segments: tuple[Segment, ...] = ()
    state: JobState = field(default_factory=lambda: JobState(JobStatus.QUEUED))
    latest: Latest | None = None
    metrics: dict[str, Reading] = field(default_factory=dict)
    ending: Ending | None = None
    artifact: StoredArtifact | None = None

    @property
    def stage(self) -> str:
        """What the run is doing; the status, unless the newest progress tells it more closely."""
        if self.awaiting_dataset:
            return "validating"
        if self.latest and self.latest.order == self.state.order:
            return self.latest.stage
        return self.state.status.value

    @property
    def percent(self) -> float:
        """How far the job is, 0 to 100."""
        if self.state.status is JobStatus.COMPLETED:
            return 100.0
        return self.latest.percent if self.latest else 0.0

    @property
    def pausing(self) -> bool:
        """Whether it was asked to pause last."""
        return self.pause_turn % 2 == 1

    @property
    def run(self) -> Latest | None:
        """The newest progress of the run that holds GPUs now."""
        live = self.state.status in LIVE and self.latest and self.latest.attempt == self.state.attempt
        return self.latest if live else None

    @property
    def started_at(self) -> datetime | None:
        """When its first training began."""
        if self.ending and self.ending.started_at:
            return self.ending.started_at
        return min((one.started_at for one in self.segments), default=self.latest.started_at if self.latest else None)

    @property
    def final_cost(self) -> Decimal | None:
        """What the ledger adds up to once the job is over; None before."""
        return self.ending.compute_cost + self._storage_cost if self.ending else None

    def cost_at(self, now: datetime) -> Decimal:
        """What the job has cost by `now`; the model's storage, once it is stored, is a part of its `max_cost`."""
        if self.final_cost is not None:
            return self.final_cost
        compute = self.pricing.total(self.segments)
        if self.run and self.run.started_at:
            compute += self.pricing.compute_cost(self.run.started_at, now)
        if self.spec.max_cost is not None:
            compute = min(compute, max(self.spec.max_cost - self.pricing.storage, Decimal(0)))
        return compute + self._storage_cost

    @property
    def _storage_cost(self) -> Decimal:
        return self.artifact.storage_cost if self.artifact else Decimal(0)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a training is given: what to train on, what to evaluate on, and the model to start from."""

    dataset: Dataset
    validation: Dataset | None = None
    start: StartingModel | None = None

    @property
    def datasets(self) -> list[Dataset]:
        """One or two."""
        return [self.dataset, self.validation] if self.validation else [self.dataset]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are wanted; what is not given decides nothing. Both ends of the time are included."""

    statuses: tuple[JobStatus, ...] = ()
    dataset_id: UUID | None = None
    text: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
