"""Rows of the gateway's slice."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from brightrun.contracts.events import DatasetRef, Pricing
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import GpuConfig, JobError, TrainingSpec
from brightrun.contracts.values import Money, Utc, Value

Role = Literal["admin", "member"]
Scope = Literal["read", "train", "admin"]
ALL_SCOPES: frozenset[Scope] = frozenset({"read", "train", "admin"})
PresetId = Literal["fast", "balanced", "quality", "custom"]

READY = "ready"


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GpuPrice:
    """What one GPU costs (USD an hour), and the throughput that estimates count on (tokens a second)."""

    type: str
    price_per_hour: Decimal
    tokens_per_second: int


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
class Quote:
    """An estimate: `total`, `compute` (USD) and hours to two places, the prices that it is made of (USD) in full."""

    total: Decimal
    compute: Decimal
    storage: Decimal
    hours: Decimal
    hourly_rate: Decimal
    total_steps: int
    steps_per_epoch: int
    epochs: int
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
    """How a job ended, and what its GPUs cost."""

    started_at: Utc | None
    finished_at: Utc
    compute_cost: Money
    trained_tokens: int
    error: JobError | None = None


class StoredArtifact(Value):
    """The model that a job left, and what storing it costs."""

    artifact_id: UUID
    storage_cost: Money


@dataclass(frozen=True, slots=True)
class Job:
    """One requested training: what was asked, what was promised, and how it stands as far as events have told."""

    id: UUID
    user_id: UUID
    name: str
    preset_id: PresetId
    gpu: GpuConfig
    submitted: dict[str, Any]
    spec: TrainingSpec
    pricing: Pricing
    estimated_cost: Decimal
    dataset: DatasetRef
    planned_steps: int
    planned_epochs: int
    queued_at: datetime
    cancel_requested_at: datetime | None = None
    state: JobState = field(default_factory=lambda: JobState(JobStatus.QUEUED))
    latest: Latest | None = None
    metrics: dict[str, Reading] = field(default_factory=dict)
    ending: Ending | None = None
    artifact: StoredArtifact | None = None

    @property
    def stage(self) -> str:
        """What the run is doing; the status, unless the newest progress tells it more closely."""
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
    def started_at(self) -> datetime | None:
        """When the GPUs began to cost something."""
        if self.ending:
            return self.ending.started_at
        return self.latest.started_at if self.latest else None

    @property
    def final_cost(self) -> Decimal | None:
        """What the ledger adds up to once the job is over; None before."""
        return self.ending.compute_cost + self._storage_cost if self.ending else None

    def cost_at(self, now: datetime) -> Decimal:
        """What the job has cost by `now`."""
        if self.final_cost is not None:
            return self.final_cost
        running = self.pricing.compute_cost(self.started_at, now) if self.started_at else Decimal(0)
        return running + self._storage_cost

    @property
    def _storage_cost(self) -> Decimal:
        return self.artifact.storage_cost if self.artifact else Decimal(0)
