"""Bodies and query parameters of jobs."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from brightrun.api.datasets.models import PendingDataset
from brightrun.api.http.bodies import Body, CostRecord, JsonObject, example
from brightrun.api.http.parameters import WHOLE_NUMBER, From, To
from brightrun.api.jobs import rules
from brightrun.api.jobs.models import Job, JobRequest, Start
from brightrun.api.pricing.models import PresetId
from brightrun.api.pricing.schemas import Hyperparameters
from brightrun.contracts.events import DatasetRef
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.training import GpuConfig, JobError, TrainingSpecView
from brightrun.contracts.values import Number, strict_number, to_cents

Cost = Annotated[Number, Field(ge=0, allow_inf_nan=False), strict_number(ge=0)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class SubmitJob(Body):
    """A new job. A preset provides the hyperparameters that are not given; `custom` provides none.

    `estimated_cost` is the estimate that the user saw. If the current one differs by more than 10 %, the job is
    rejected with it unless `accept_estimate` is true.
    """

    model_config = example(
        {
            "dataset_id": "01a20f5d-0c5e-7000-8000-5d1c2a9b7e10",
            "preset_id": "balanced",
            "gpu_config": {"type": "A100-80GB", "count": 1},
            "hyperparameters": {"learning_rate": 0.0005},
            "name": "Workshop assistant",
        }
    )

    dataset_id: UUID
    preset_id: PresetId
    gpu_config: GpuConfig
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    estimated_cost: Cost | None = None
    accept_estimate: StrictBool = False
    name: Name | None = None

    def job_request(self) -> JobRequest:
        """The same for both dialects."""
        return JobRequest(**dict(self))


class RetryJob(Body):
    """`from_checkpoint`: go on from the job's last checkpoint instead of the beginning, until its `resumable_until`."""

    model_config = example({"from_checkpoint": True})

    from_checkpoint: StrictBool = False


class CloneJob(Body):
    """The changes of a clone; a hyperparameter of null removes it."""

    model_config = example({"hyperparameters": {"epochs": 5, "learning_rate": 0.0002}, "name": "Longer"})

    dataset_id: UUID | None = None
    preset_id: PresetId | None = None
    gpu_config: GpuConfig | None = None
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    estimated_cost: Cost | None = None
    accept_estimate: StrictBool = False
    name: Name | None = None

    def job_request(self, job: Job) -> JobRequest:
        """The request of the job, with the changes."""
        changes = self.hyperparameters.model_dump(mode="json", exclude_unset=True)
        spec = TrainingSpecView.model_validate(rules.merge(job.submitted, changes))
        given = {name: value for name, value in dict(self).items() if value is not None}
        return replace(rules.request_of(job), cloned_from=job.id, **given | {"hyperparameters": spec})


class DatasetSummary(BaseModel):
    """The data set of a job, as it was at submission."""

    name: str
    format: str
    total_training_pairs: int

    @classmethod
    def of(cls, dataset: DatasetRef | PendingDataset) -> Self:
        """From the data set that the job stores."""
        return cls(name=dataset.name, format=dataset.format, total_training_pairs=dataset.training_pairs)


class StartSummary(BaseModel):
    """The model that a job starts from, with its name at submission; `step` if it is a checkpoint."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: UUID
    name: str
    step: int | None

    @classmethod
    def of(cls, start: Start) -> Self:
        """From the model that the job stores."""
        step = start.checkpoint.step if start.checkpoint else None
        return cls(model_id=start.artifact_id, name=start.name, step=step)


class Progress(BaseModel):
    """Progress of a job; money in USD. Before the first report it is the plan."""

    status: JobStatus
    current_stage: str
    progress: float = Field(description="percent")
    current_epoch: float
    total_epochs: float
    current_step: int
    total_steps: int
    current_metrics: dict[str, float]
    eta_seconds: float | None
    trained_tokens: int
    current_cost: Number

    @classmethod
    def of(cls, job: Job, now: datetime) -> Self:
        """The job at `now`, which determines the cost of a running job."""
        latest, ending = job.latest, job.ending
        return cls(
            status=job.state.status,
            current_stage=job.stage,
            progress=job.percent,
            current_epoch=latest.epoch if latest else 0,
            total_epochs=(latest and latest.total_epochs) or job.planned_epochs,
            current_step=latest.step if latest else 0,
            total_steps=(latest and latest.total_steps) or job.planned_steps,
            current_metrics={name: reading.value for name, reading in job.metrics.items()},
            eta_seconds=job.run.eta_seconds if job.run else None,
            trained_tokens=ending.trained_tokens if ending else latest.trained_tokens if latest else 0,
            current_cost=job.cost_at(now),
        )


class JobView(Progress):
    """A job; money in USD."""

    id: UUID
    user_id: UUID
    name: str
    preset_id: PresetId
    gpu_config: GpuConfig
    hyperparameters: TrainingSpecView = Field(description="the whole specification that is trained with")
    submitted: JsonObject = Field(description="the hyperparameters as they were given")
    estimated_total_cost: Number
    final_cost: Number | None
    external_job_id: str | None = Field(description="the id of its newest run on its cluster")
    artifact_id: UUID | None
    error_message: str | None
    error_stack: str | None = Field(description="always null: stack traces are in the cluster's log of the run")
    error: JobError | None
    stopped_by: str | None = Field(description="what ended it early: budget, duration or user")
    resumable_until: datetime | None = Field(description="how long a retry can go on from its last checkpoint")
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None = Field(description="since when it shall pause; null when it shall go on")
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    dataset_id: UUID
    dataset: DatasetSummary
    validation_dataset: DatasetSummary | None = Field(
        description="what it is evaluated on, if that is another data set"
    )
    start: StartSummary | None = Field(description="the model whose adapter it goes on with")
    metadata: dict[str, str]
    retry_of: UUID | None
    cloned_from: UUID | None
    from_checkpoint: bool = Field(description="it goes on from the last checkpoint of the job that it retries")

    @classmethod
    def of(cls, job: Job, now: datetime) -> Self:
        """The job at `now`."""
        ending = job.ending
        error = ending.error if ending else None
        return cls(
            id=job.id,
            user_id=job.user_id,
            name=job.name,
            preset_id=job.preset_id,
            gpu_config=job.gpu,
            hyperparameters=TrainingSpecView.of(job.spec),
            submitted=job.submitted,
            estimated_total_cost=to_cents(job.estimated_cost),
            final_cost=job.final_cost,
            external_job_id=job.runs[-1].external_job_id if job.runs else None,
            artifact_id=job.artifact.artifact_id if job.artifact else None,
            error_message=error.message if error else None,
            error_stack=None,
            error=error,
            stopped_by=ending.stopped_by if ending else None,
            resumable_until=ending.resumable_until if ending else None,
            cancel_requested_at=job.cancel_requested_at,
            pause_requested_at=job.pause_requested_at,
            created_at=job.queued_at,
            queued_at=job.queued_at,
            started_at=job.started_at,
            completed_at=ending.finished_at if ending else None,
            dataset_id=job.dataset.dataset_id,
            dataset=DatasetSummary.of(job.dataset),
            validation_dataset=DatasetSummary.of(job.validation) if job.validation else None,
            start=StartSummary.of(job.start) if job.start else None,
            metadata=job.metadata,
            retry_of=job.retry_of,
            cloned_from=job.cloned_from,
            from_checkpoint=job.from_checkpoint,
            **dict(Progress.of(job, now)),
        )


class JobPage(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    pagination: Pagination


class JobDetail(BaseModel):
    """A job with its curve and its ledger. `unavailable` names the parts whose service does not answer."""

    job: JobView
    metrics: list[JsonObject]
    cost_records: list[CostRecord]
    unavailable: list[str]


class Metrics(BaseModel):
    """A job's curve."""

    points: list[JsonObject]


class JobEvents(BaseModel):
    """A job's history."""

    events: list[JsonObject]


Step = Annotated[int, Field(ge=0, le=2**53), WHOLE_NUMBER]


class QueryModel(BaseModel):
    """Query parameters; unknown ones are rejected."""

    model_config = ConfigDict(extra="forbid")


class JobsQuery(QueryModel):
    """A page of jobs with any of the statuses, and with `q` in their names or at the start of their ids."""

    page: Annotated[int, Field(ge=1, le=1_000_000), WHOLE_NUMBER] = 1
    limit: Annotated[int, Field(ge=1, le=100), WHOLE_NUMBER] = 10
    status: Annotated[tuple[JobStatus, ...], Field(max_length=10, description="several may be given")] = ()
    dataset_id: UUID | None = None
    q: Annotated[
        str | None,
        StringConstraints(max_length=200, pattern=r"^[^\x00]*$"),
        Field(description="part of the name or of the data set's, or the beginning of the id"),
    ] = None
    created_from: From | None = None
    created_to: Annotated[To | None, Field(description="included; of a bare date, the whole day")] = None


class MetricsQuery(QueryModel):
    """Part of a curve."""

    first: Annotated[Step | None, Field(alias="from")] = None
    last: Annotated[Step | None, Field(alias="to")] = None
    max_points: Annotated[int, Field(ge=10, le=10_000), WHOLE_NUMBER] = 1000


class EventsQuery(QueryModel):
    """Part of a history."""

    after: Step = 0
    limit: Annotated[int, Field(ge=1, le=100), WHOLE_NUMBER] = 100
