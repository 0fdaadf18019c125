"""Bodies of the GPU cluster's HTTP API: the original's four endpoints and the optional ones that ours adds."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from brightrun.contracts.pagination import Pagination
from brightrun.contracts.training import Checkpoint, GpuConfig, JobError, MetricPoint, TrainingSpec
from brightrun.contracts.values import Sha256, Utc, Value

RunState = Literal["queued", "initializing", "running", "completed", "failed", "cancelled"]
StopMode = Literal["checkpoint", "finish"]
StopSignal = Literal["cancel", "checkpoint", "finish"]
"""How a run ends: as soon as it has saved a checkpoint; the same, to be resumed; or with all that it can deliver."""


class RunInput(Value):
    """A file that a run is given: where to fetch it, and its digest where the sender knows it."""

    url: str
    sha256: Sha256 | None = None


class AdapterInput(RunInput):
    """A file of the adapter that a run starts from; `name` is a plain file name."""

    name: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class SubmitRun(Value):
    """`POST /training/submit`. A second submission of the same `(job_id, attempt)` answers with the first run.

    `validation`: the data set that `hyperparameters.validation_dataset_id` names; `adapter`: the files of the one that
    `hyperparameters.init_from` names. Only clusters whose capabilities say `inputs` are sent runs with these.
    `resume_from` is the external id of an earlier run on the same cluster, of the same job, or with the same spec and
    data: the new run goes on from that run's last complete checkpoint. A cluster that cannot do that answers 409 with
    code `not_resumable`.
    """

    job_id: UUID
    attempt: Annotated[int, Field(ge=1)] = 1
    dataset_url: str
    hyperparameters: TrainingSpec
    gpu_config: GpuConfig
    callback_url: str | None = None
    resume_from: str | None = None
    dataset_sha256: Sha256 | None = None
    validation: RunInput | None = None
    adapter: Annotated[tuple[AdapterInput, ...], Field(max_length=100)] = ()


class SubmittedRun(Value):
    """The answer to a submission."""

    external_job_id: str
    status: RunState


class StopRun(Value):
    """`POST /training/stop/{external_job_id}`: how the run shall end; answers with its status, as a cancel does.

    `checkpoint`: save and end as `cancelled`, to be resumed by another run. `finish`: train no further, then end as any
    other run does; it is `completed` with `stopped_early`. A finished run stays what it is.
    """

    mode: StopMode


class RunStatus(Value):
    """`GET /training/status/{external_job_id}`: where the run stands.

    `message` says more about the stage. `checkpoint_seconds` is how long saving the last checkpoint took.
    `stopped_early`: the run completed before its planned end because it was asked to finish.
    """

    external_job_id: str
    job_id: UUID
    attempt: int
    status: RunState
    stage: str
    message: str = ""
    progress: Annotated[float, Field(ge=0, le=100)]
    current_epoch: float = 0
    total_epochs: float = 0
    current_step: int = 0
    total_steps: int = 0
    trained_tokens: int = 0
    eta_seconds: float | None = None
    metrics: MetricPoint | None = None
    error: JobError | None = None
    error_message: str | None = None
    started_at: Utc | None = None
    finished_at: Utc | None = None
    last_checkpoint_step: int | None = None
    checkpoint_seconds: float | None = None
    stopped_early: bool = False


class RunEvent(Value):
    """One step of a run's history: the state it reached, and what it measured and saved since the event before.

    `cursor` counts over all runs of the cluster, `seq` within one run from 1. A terminal status is a run's last event.
    """

    cursor: int
    event_id: UUID
    at: Utc
    seq: Annotated[int, Field(ge=1)]
    run: RunStatus
    points: tuple[MetricPoint, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()


class RunEvents(Value):
    """`GET /training/events?after=<cursor>&wait=<seconds>`: what happened after `after`, oldest first."""

    events: tuple[RunEvent, ...]
    cursor: int


class ClusterFile(Value):
    """One file that a run left, as the cluster measured it."""

    name: str
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class RunArtifacts(Value):
    """`GET /training/artifacts/{external_job_id}`: where to fetch each file. `files` is optional for other clusters.

    `GET /training/checkpoints/{external_job_id}/{step}` answers with those of a checkpoint's adapter.
    """

    download_urls: dict[str, str]
    model_metadata: Annotated[dict[str, Any], BeforeValidator(lambda metadata: metadata or {})] = Field(
        default_factory=dict
    )
    files: tuple[ClusterFile, ...] = ()


class RunCheckpoint(Checkpoint):
    """A checkpoint on disk; its files have `size` bytes.

    `kept_until`: when it will be deleted; None while the run goes on and replaces it by newer ones.
    """

    size: Annotated[int, Field(ge=0)]
    kept_until: Utc | None = None


class RunCheckpoints(Value):
    """`GET /training/checkpoints/{external_job_id}`: the complete checkpoints on disk now, oldest first."""

    checkpoints: tuple[RunCheckpoint, ...]


class RunSummary(Value):
    """A run in a list. `live`: it has not reached its terminal status."""

    external_job_id: str
    job_id: UUID
    attempt: int
    status: RunState
    live: bool


class RunList(Value):
    """`GET /training/runs?live&job_id&attempt&page&limit`: newest first.

    A run that ends while pages are read moves those behind it forward: absence from a list proves nothing, a status
    that answers 404 does.
    """

    runs: tuple[RunSummary, ...]
    pagination: Pagination


class Capabilities(Value):
    """`GET /training/capabilities`: what this cluster is and which optional endpoints it has.

    `stop_modes` are those that `POST /training/stop` takes; `graceful_stop`: a cancel saves a checkpoint first;
    `runs`, `capacity`, `logs`, `checkpoints`: the endpoints of these names; `log_follow`: logs can be followed.
    `inputs`: a run may have a validation data set of its own, and an adapter to start from. `generation`: models of
    completed runs can be tried, `POST /training/generate/{external_job_id}` with bodies as in contracts.generation.
    `base_models` are those it has; `fetches_models`: it fetches others from a hub. `max_gpus`: the most GPUs of a type
    that a run can have. What is not said rejects no job.
    `checkpoint_days`: how long the checkpoints of a run that did not complete are kept after its end.
    """

    name: str
    version: str
    executor: str
    simulated: bool = False
    gpu_types: tuple[str, ...]
    base_models: tuple[str, ...] = ()
    fetches_models: bool | None = None
    max_gpus: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    idempotent_submit: bool = False
    events: bool = False
    graceful_stop: bool = False
    logs: bool = False
    log_follow: bool = False
    stop_modes: tuple[str, ...] = ()
    resume: bool = False
    checkpoints: bool = False
    checkpoint_days: float | None = None
    runs: bool = False
    capacity: bool = False
    inputs: bool = False
    generation: bool = False


class GpuCapacity(Value):
    """GPUs of one type. `free` is 0 while the cluster takes no runs, whatever the reason."""

    type: str
    total: Annotated[int, Field(ge=0)]
    free: Annotated[int, Field(ge=0)]


class Capacity(Value):
    """`GET /training/capacity`: GPUs in all and free now, together and by type; older clusters say no types."""

    total_gpus: int
    free_gpus: int
    gpus: tuple[GpuCapacity, ...] = ()


class RunCallback(Value):
    """The signed `POST` to `callback_url`: a hint that something happened, without authority of its own."""

    external_job_id: str
    job_id: UUID
    status: RunState
