"""Bodies of the GPU cluster's HTTP API: the original's four endpoints and the optional ones that ours adds."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from brightrun.contracts.training import Checkpoint, GpuConfig, JobError, MetricPoint, TrainingSpec
from brightrun.contracts.values import Sha256, Utc, Value

RunState = Literal["queued", "initializing", "running", "completed", "failed", "cancelled"]


class SubmitRun(Value):
    """`POST /training/submit`. A second submission of the same `(job_id, attempt)` answers with the first run."""

    job_id: UUID
    attempt: Annotated[int, Field(ge=1)] = 1
    dataset_url: str
    hyperparameters: TrainingSpec
    gpu_config: GpuConfig
    callback_url: str | None = None


class SubmittedRun(Value):
    """The answer to a submission."""

    external_job_id: str
    status: RunState


class RunStatus(Value):
    """`GET /training/status/{external_job_id}`: where the run stands."""

    external_job_id: str
    job_id: UUID
    attempt: int
    status: RunState
    stage: str
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
    """`GET /training/artifacts/{external_job_id}`: where to fetch each file. `files` is optional for other clusters."""

    download_urls: dict[str, str]
    model_metadata: dict[str, Any] = Field(default_factory=dict)
    files: tuple[ClusterFile, ...] = ()


class Capabilities(Value):
    """`GET /training/capabilities`: what this cluster is and which optional endpoints it has."""

    name: str
    version: str
    executor: str
    simulated: bool = False
    gpu_types: tuple[str, ...]
    base_models: tuple[str, ...] = ()
    idempotent_submit: bool = False
    events: bool = False
    graceful_stop: bool = False
    logs: bool = False


class Capacity(Value):
    """`GET /training/capacity`: GPUs in all and free now, of any of the cluster's types."""

    total_gpus: int
    free_gpus: int


class RunCallback(Value):
    """The signed `POST` to `callback_url`: a hint that something happened, without authority of its own."""

    external_job_id: str
    job_id: UUID
    status: RunState
