"""Jobs, the requests for them, and what they are made of."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from brightrun.api.datasets.models import Dataset, PendingDataset
from brightrun.api.pricing.models import PresetId
from brightrun.contracts.events import AdapterRef, ArtifactFile, DatasetRef, Pricing, Segment
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import GpuConfig, JobError, TrainingSpec
from brightrun.contracts.values import Money, Utc, Value

Dialect = Literal["api", "openai"]
KEY_LIFETIME = timedelta(hours=24)
REPETITION_WINDOW = timedelta(minutes=10)
"""How long a client without keys may repeat a request."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request for a job, of either dialect.

    `may_await_dataset`: whether the job may be recorded while its data sets are not validated yet. `from_checkpoint`:
    it goes on from the last checkpoint of the job that it retries.
    """

    dataset_id: UUID
    preset_id: PresetId
    gpu_config: GpuConfig
    hyperparameters: TrainingSpec
    name: str | None = None
    estimated_cost: Decimal | None = None
    accept_estimate: bool = False
    dialect: Dialect = "api"
    suffix: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    retry_of: UUID | None = None
    cloned_from: UUID | None = None
    from_checkpoint: bool = False
    may_await_dataset: bool = False

    @property
    def dataset_ids(self) -> list[UUID]:
        """The training data set, and the validation data set if there is one."""
        validation_id = self.hyperparameters.validation_dataset_id
        return list(dict.fromkeys([self.dataset_id, validation_id])) if validation_id else [self.dataset_id]

    @property
    def input_ids(self) -> list[UUID]:
        """The data sets, and the model to start from if there is one."""
        start_id = self.hyperparameters.init_from
        return [*self.dataset_ids, start_id] if start_id else self.dataset_ids


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """Identifies repetitions of a request.

    `sha256` is the digest of the request, `key` the caller's Idempotency-Key. A `guarded` request comes from a client
    that repeats requests without a key; it is `repeated` if that client marks it as a repetition.
    """

    sha256: bytes
    began_at: datetime
    key: str | None = None
    guarded: bool = False
    repeated: bool = False


class StartCheckpoint(Value):
    """The checkpoint of a job whose copy another job starts from; `named_after`: the id in its OpenAI name."""

    named_after: UUID
    step: int


class Start(AdapterRef):
    """The model whose adapter a job starts from, as it was at submission; `suffix` is a part of its OpenAI name."""

    suffix: str | None = None
    checkpoint: StartCheckpoint | None = None


class AwaitingDataset(Value):
    """Set while a data set is not validated: tokens a second of all GPUs, for the estimate that follows."""

    tokens_per_second: int


class Latest(Value):
    """The newest known progress, by `(attempt, seq)`."""

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
        """Its position in the job's history."""
        return self.attempt, self.seq


class Reading(Value):
    """The last known value of a metric, and the progress that reported it."""

    attempt: int
    seq: int
    value: float


class Ending(Value):
    """How a job ended, and what its GPUs cost.

    `seconds`: how long it trained, without pauses. `stopped_by`: what ended it early, `budget`,
    `duration` or `user`. `resumable_until`: how long a retry can go on from its last checkpoint.
    """

    started_at: Utc | None
    finished_at: Utc
    compute_cost: Money
    trained_tokens: int
    error: JobError | None = None
    seconds: float | None = None
    stopped_by: str | None = None
    resumable_until: Utc | None = None


class StartedRun(Value):
    """The run of an attempt on its cluster."""

    attempt: int
    cluster: str
    external_job_id: str


class StoredArtifact(Value):
    """The model of a job, and the cost of its storage."""

    artifact_id: UUID
    storage_cost: Money


LIVE = frozenset({JobStatus.INITIALIZING, JobStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class Job:
    """A job: its request, what was promised, and the projection of its events.

    `segments`: billed segments of attempts that have ended. `pause_turn` counts requests to pause and to resume.
    `unpausable_attempt`: the newest attempt that its cluster cannot save and resume. `runs`: in the order of attempts.
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
    from_checkpoint: bool = False
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
    runs: tuple[StartedRun, ...] = ()

    @property
    def stage(self) -> str:
        """The stage of the newest progress if it is up to date, else the status."""
        if self.awaiting_dataset:
            return "validating"
        if self.latest and self.latest.order == self.state.order:
            return self.latest.stage
        return self.state.status.value

    @property
    def percent(self) -> float:
        """Progress from 0 to 100."""
        if self.state.status is JobStatus.COMPLETED:
            return 100.0
        return self.latest.percent if self.latest else 0.0

    @property
    def pausing(self) -> bool:
        """Whether the last request was to pause."""
        return self.pause_turn % 2 == 1

    @property
    def run(self) -> Latest | None:
        """The newest progress of the run that holds GPUs now."""
        live = self.state.status in LIVE and self.latest and self.latest.attempt == self.state.attempt
        return self.latest if live else None

    @property
    def started_at(self) -> datetime | None:
        """The start of its first attempt's training."""
        if self.ending and self.ending.started_at:
            return self.ending.started_at
        return min(
            (segment.started_at for segment in self.segments), default=self.latest.started_at if self.latest else None
        )

    @property
    def final_cost(self) -> Decimal | None:
        """The sum of its cost records once it has ended; None before."""
        return self.ending.compute_cost + self._storage_cost if self.ending else None

    def cost_at(self, now: datetime) -> Decimal:
        """The cost until `now`. The storage of a stored model counts towards `max_cost`."""
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
class StartingModel:
    """A model to start a training from. `files` are those of its adapter; none unless it is stored.

    `step`: that of the job's checkpoint which it is a copy of, if it is one.
    """

    id: UUID
    job_id: UUID
    name: str
    status: str
    spec: TrainingSpec
    files: tuple[ArtifactFile, ...]
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """The data sets to train and to evaluate on, and the model to start from."""

    dataset: Dataset
    validation: Dataset | None = None
    start: StartingModel | None = None

    @property
    def datasets(self) -> list[Dataset]:
        """The training data set, and the validation data set if there is one."""
        return [self.dataset, self.validation] if self.validation else [self.dataset]
