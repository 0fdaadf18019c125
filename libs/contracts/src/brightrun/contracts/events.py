"""Every event of BrightRun and the catalogue that topics, documents and tests are made from."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from brightrun.contracts.event import Event, Topic
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import Checkpoint, GpuConfig, JobError, MetricPoint, TrainingSpec
from brightrun.contracts.values import Money, Sha256, Utc, Value, to_money


class JobEvent(Event):
    """A fact about one job of one user."""

    job_id: UUID
    user_id: UUID

    @property
    def key(self) -> str:
        """All events of a job share a partition of their topic."""
        return str(self.job_id)


class DatasetRef(Value):
    """The data set a job trains on, as it was when the job was submitted."""

    dataset_id: UUID
    name: str
    format: str
    training_pairs: int
    tokens: int
    sha256: Sha256


class ArtifactFile(Value):
    """One stored file of an artifact."""

    name: str
    size: int
    sha256: Sha256


ADAPTER_FILES = frozenset({"adapter_config.json", "adapter_model.safetensors"})
"""The files of an artifact that hold its adapter."""


def adapter_files(files: Iterable[ArtifactFile]) -> tuple[ArtifactFile, ...]:
    """Those of an artifact's files that hold its adapter; none if one is missing."""
    found = tuple(file for file in files if file.name in ADAPTER_FILES)
    return found if len(found) == len(ADAPTER_FILES) else ()


class AdapterRef(Value):
    """The earlier artifact whose adapter a training goes on with, and the files that hold it."""

    artifact_id: UUID
    name: str
    files: tuple[ArtifactFile, ...]


class Segment(Value):
    """A stretch of training that is billed: one attempt, from its start to its end.

    `released_at`: when it gave its GPUs back, if that was later than what is billed of it.
    """

    attempt: int
    started_at: Utc
    finished_at: Utc
    released_at: Utc | None = None

    @property
    def seconds(self) -> float:
        """How long it held its GPUs."""
        return ((self.released_at or self.finished_at) - self.started_at).total_seconds()


class Pricing(Value):
    """The prices a job was promised when it was submitted: per hour for all its GPUs, and once for storage."""

    hourly_rate: Money
    storage: Money

    def compute_cost(self, started_at: datetime, finished_at: datetime) -> Decimal:
        """Rate × time, to four places: the one formula of the ledger and of what jobs show."""
        seconds = Decimal(str(max((finished_at - started_at).total_seconds(), 0.0)))
        return to_money(self.hourly_rate * seconds / 3600)

    def within(self, max_cost: Decimal | None) -> "Pricing":
        """The same with no more for storage than the job may cost at all."""
        if max_cost is None or self.storage <= max_cost:
            return self
        return self.model_copy(update={"storage": max_cost})

    def total(self, segments: Iterable[Segment]) -> Decimal:
        """The cost of the segments together; each is an entry of the ledger, rounded by itself."""
        return sum((self.compute_cost(segment.started_at, segment.finished_at) for segment in segments), Decimal())


class JobQueued(JobEvent):
    """The user's job is recorded and waits for GPUs. Owner: api.

    `validation`: what `spec.validation_dataset_id` names; `start`: what `spec.init_from` names. `resumes_job`: the
    earlier job with the same spec and data from whose last checkpoint it goes on, if its cluster still has it.
    """

    topic: ClassVar[str] = "job.queued"

    name: str
    spec: TrainingSpec
    gpu: GpuConfig
    dataset: DatasetRef
    pricing: Pricing
    estimated_cost: Money
    validation: DatasetRef | None = None
    start: AdapterRef | None = None
    resumes_job: UUID | None = None


class JobCancelRequested(JobEvent):
    """The user asks to cancel the job; it may be over already. Owner: api."""

    topic: ClassVar[str] = "job.cancel_requested"


class JobPauseRequested(JobEvent):
    """The user asks to pause the job: it saves a checkpoint and releases its GPUs until resumed. Owner: api.

    `turn` counts the user's requests to pause and to resume the job. The highest counts, whichever is read first.
    """

    topic: ClassVar[str] = "job.pause_requested"

    turn: Annotated[int, Field(ge=1)]


class JobResumeRequested(JobEvent):
    """The user asks to resume the paused job from its last checkpoint. Owner: api. `turn` as in JobPauseRequested."""

    topic: ClassVar[str] = "job.resume_requested"

    turn: Annotated[int, Field(ge=1)]


class JobFinishRequested(JobEvent):
    """The user asks the job to train no further and to deliver what it has; it may be over already. Owner: api."""

    topic: ClassVar[str] = "job.finish_requested"


class JobRefused(JobEvent):
    """The job waited for the validation of a data set, which failed; the job was never queued. Owner: api.

    `dataset_id`: the invalid data set, for training or for validation.
    """

    topic: ClassVar[str] = "job.refused"

    name: str
    dataset_id: UUID
    error: JobError


class JobDeleted(JobEvent):
    """The user deleted a job that was over, with its curve and its log. Owner: api.

    Its costs stay in the ledger, and its model stays.
    """

    topic: ClassVar[str] = "job.deleted"


class JobStarted(JobEvent):
    """A cluster took the job's attempt; it is initializing. Owner: scheduler.

    `pausable`: the cluster can save the run and go on from there later.
    """

    topic: ClassVar[str] = "job.started"

    attempt: int
    cluster: str
    external_job_id: str
    gpu: GpuConfig
    dataset_name: str
    pausable: bool = True


class JobProgress(JobEvent):
    """How far a run is and what it measured since the progress before. Owner: scheduler.

    Order by `(attempt, seq)`, never by time. `event_id` is the cluster's, so that a replay of its stream is recognised.
    """

    topic: ClassVar[str] = "job.progress"

    attempt: int
    seq: int
    status: Literal[JobStatus.INITIALIZING, JobStatus.RUNNING]
    stage: str
    percent: Annotated[float, Field(ge=0, le=100)]
    step: int
    total_steps: int
    epoch: float
    total_epochs: float
    trained_tokens: int
    eta_seconds: float | None = None
    started_at: Utc | None = None
    points: tuple[MetricPoint, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()


class JobAttemptLost(JobEvent):
    """A cluster lost the job's attempt, which is not billed; the job waits for the next. Owner: scheduler.

    `resumes`: the next goes on from a checkpoint, if the same cluster can run it.
    """

    topic: ClassVar[str] = "job.attempt_lost"

    attempt: int
    cluster: str
    error: JobError
    resumes: bool = False


class JobPaused(JobEvent):
    """The job has given its GPUs back and waits for its user to resume it. Owner: scheduler.

    `attempt` is used up: the next has a higher number. `started_at` is None when nothing is billed: the job was
    waiting, or its cluster lost it. `step`: the optimizer step that the job goes on from.
    """

    topic: ClassVar[str] = "job.paused"

    name: str
    attempt: int
    cluster: str | None = None
    gpu: GpuConfig
    pricing: Pricing
    started_at: Utc | None = None
    finished_at: Utc
    released_at: Utc | None = None
    step: int = 0

    @property
    def billed(self) -> tuple[Segment, ...]:
        """The billed part of the attempt."""
        return _billed(self)


class JobCompleted(JobEvent):
    """The job is over: `outcome` is its one terminal status. Owner: scheduler.

    Carries what the ledger and the artifact need, so that neither waits for another topic. A job that was not running
    has attempt 0, no cluster and no times. `started_at` is also None when the cluster lost the last attempt, which is
    not billed. `segments`: what was billed of the attempts before it. `stopped_by`: what ended it early, `budget` for
    `max_cost`, `duration` for `max_duration`, or `user` who asked to finish. A `finished_at` that would cost more than
    `max_cost` is put forward; `released_at` is then when the GPUs were released. `pricing` asks no more for storage
    than `max_cost`. `resumable_until`: how long another job can go on from the last checkpoint of one that did not
    complete.
    """

    topic: ClassVar[str] = "job.completed"

    name: str
    attempt: int
    outcome: Literal[JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]
    cluster: str | None = None
    external_job_id: str | None = None
    spec: TrainingSpec
    gpu: GpuConfig
    dataset: DatasetRef
    pricing: Pricing
    started_at: Utc | None = None
    finished_at: Utc
    released_at: Utc | None = None
    trained_tokens: int = 0
    error: JobError | None = None
    segments: tuple[Segment, ...] = ()
    stopped_by: str | None = None
    resumable_until: Utc | None = None
    validation: DatasetRef | None = None
    start: AdapterRef | None = None

    @property
    def billed(self) -> tuple[Segment, ...]:
        """Every billed segment of the job."""
        return self.segments + _billed(self)


def _billed(end: JobPaused | JobCompleted) -> tuple[Segment, ...]:
    if end.started_at is None:
        return ()
    return (Segment.model_validate(end.model_dump(include=set(Segment.model_fields))),)


class DatasetValidated(Event):
    """Every line of a data set was checked. Owner: artifacts."""

    topic: ClassVar[str] = "dataset.validated"

    dataset_id: UUID
    user_id: UUID
    name: str
    format: str
    status: Literal["ready", "invalid"]
    training_pairs: int
    tokens: int
    tokens_estimated: bool
    size: int
    sha256: Sha256
    error_count: int

    @property
    def key(self) -> str:
        """All facts of a data set share a partition."""
        return str(self.dataset_id)


class Quality(Value):
    """How well the training went. `convergence`: excellent, good, fair, poor or unknown; `score`: 1 to 5 stars."""

    score: Annotated[int, Field(ge=1, le=5)]
    convergence: str
    reason: str
    final_training_loss: float | None = None
    best_training_loss: float | None = None
    final_validation_loss: float | None = None
    perplexity: float | None = None


class ArtifactReady(JobEvent):
    """All files of a finished job are stored and verified. Owner: artifacts."""

    topic: ClassVar[str] = "artifact.ready"

    artifact_id: UUID
    name: str
    dataset_name: str
    files: tuple[ArtifactFile, ...]
    quality: Quality
    pricing: Pricing


class JobLogged(JobEvent):
    """The job's log has a new entry, which follows the entry `previous_id` (0: it is the first). Owner: tracker."""

    topic: ClassVar[str] = "job.logged"

    id: int
    previous_id: int
    type: str
    level: Literal["info", "warn", "error"]
    message: str
    data: dict[str, Any]


class BudgetReached(JobEvent):
    """What the job costs is about to reach its `max_cost`; it saves and stops. Owner: scheduler."""

    topic: ClassVar[str] = "budget.reached"

    cap: Money
    spent: Money


class DurationReached(JobEvent):
    """The job has trained almost as long as its `max_duration`; it saves and stops. Owner: scheduler.

    Both in seconds.
    """

    topic: ClassVar[str] = "duration.reached"

    cap: float
    trained: float


CATALOGUE: tuple[Topic, ...] = (
    Topic(JobQueued, "api", ("scheduler", "tracker", "notifier")),
    Topic(JobCancelRequested, "api", ("scheduler",)),
    Topic(JobPauseRequested, "api", ("scheduler", "tracker")),
    Topic(JobResumeRequested, "api", ("scheduler", "tracker")),
    Topic(JobFinishRequested, "api", ("scheduler", "tracker"), partitions=3),
    Topic(JobRefused, "api", ("tracker", "notifier"), partitions=3),
    Topic(JobDeleted, "api", ("tracker",), partitions=3),
    Topic(JobStarted, "scheduler", ("api", "tracker", "notifier")),
    Topic(JobProgress, "scheduler", ("api", "tracker", "artifacts"), retention=timedelta(days=3)),
    Topic(JobAttemptLost, "scheduler", ("api", "tracker"), partitions=3),
    Topic(JobPaused, "scheduler", ("api", "tracker", "notifier"), partitions=3),
    Topic(JobCompleted, "scheduler", ("api", "tracker", "artifacts", "notifier")),
    Topic(DatasetValidated, "artifacts", ("api", "notifier"), partitions=3),
    Topic(ArtifactReady, "artifacts", ("api", "tracker", "notifier")),
    Topic(JobLogged, "tracker", ("api",), partitions=3, retention=timedelta(days=1)),
    Topic(BudgetReached, "scheduler", ("tracker", "notifier"), partitions=3),
    Topic(DurationReached, "scheduler", ("tracker", "notifier"), partitions=3),
)
"""Every topic; topics are created, documented and checked from here."""

EVENTS: dict[str, Topic] = {topic.name: topic for topic in CATALOGUE}
