"""Rows of the gateway's slice."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from brightrun.contracts.events import AdapterRef, DatasetRef, Pricing, Segment
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import GpuConfig, JobError, TrainingSpec
from brightrun.contracts.values import Money, Utc, Value

Role = Literal["admin", "member"]
Scope = Literal["read", "train", "admin"]
ALL_SCOPES: frozenset[Scope] = frozenset({"read", "train", "admin"})
PresetId = Literal["fast", "balanced", "quality", "custom"]
Face = Literal["api", "openai"]

READY = "ready"
UNCHECKED = frozenset({"uploaded", "validating"})
"""States of a data set that may still become ready."""


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as far as jobs need to know it. `sha256` is None until every line was checked."""

    id: UUID
    name: str
    format: str
    status: str
    training_pairs: int
    tokens: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """A training that is asked for, through whichever face.

    `may_wait`: whether the job may be recorded while its data sets are still being checked.
    """

    dataset_id: UUID
    preset_id: PresetId
    gpu: GpuConfig
    hyperparameters: TrainingSpec
    name: str | None = None
    estimated_cost: Decimal | None = None
    accept_estimate: bool = False
    face: Face = "api"
    suffix: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    retry_of: UUID | None = None
    cloned_from: UUID | None = None
    may_wait: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What tells whether an order was sent before.

    `sha256` is the digest of all that was asked, `key` the caller's Idempotency-Key. A `guarded` order comes from a
    client that repeats requests without a key; it is `repeated` when that client says that it is a repetition.
    """

    sha256: bytes
    began_at: datetime
    key: str | None = None
    guarded: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A completed job as far as its results file needs it; `results_size` in bytes, None until it was made once."""

    id: UUID
    finished_at: datetime
    results_size: int | None


class PendingDataset(Value):
    """The data set of a job that was submitted while it was still being checked: its numbers are not known."""

    dataset_id: UUID
    name: str
    format: str
    training_pairs: int = 0
    tokens: int = 0


class Start(AdapterRef):
    """The model whose adapter a job starts from, as it was then; `suffix` is a part of its name at OpenAI's face."""

    suffix: str | None = None


class Hold(Value):
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
    face: Face = "api"
    suffix: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    retry_of: UUID | None = None
    cloned_from: UUID | None = None
    hold: Hold | None = None
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
    def held(self) -> bool:
        """Whether the job waits for its data sets to be checked; nobody but the gateway knows of it until then."""
        return self.hold is not None

    @property
    def stage(self) -> str:
        """What the run is doing; the status, unless the newest progress tells it more closely."""
        if self.held:
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
