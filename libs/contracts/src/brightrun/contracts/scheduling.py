"""HTTP bodies of the scheduler, which the api passes on."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Priority = Literal["low", "normal", "high", "urgent"]
WaitReason = Literal["gpus", "quota", "cluster", "retry"]


class Response(BaseModel):
    """Fields that the reader does not know are passed on too."""

    model_config = ConfigDict(extra="allow")


class QueuePosition(Response):
    """A job's position among those that wait; all of it is null when the job does not wait.

    `position`: 1 is next. `ahead_gpus`: GPUs that the jobs before it need together. `expected_start`: null if unknown.
    `waits_for`: free GPUs, the user's quota, a cluster that has such GPUs and answers, or the pause before a retry.
    """

    position: int | None = None
    ahead_gpus: int | None = None
    expected_start: datetime | None = None
    waits_for: WaitReason | None = None


class GpuPool(Response):
    """Interchangeable GPUs; null: of any type, or as many as the cluster accepts."""

    types: list[str] | None
    total: int | None
    free: int | None


class Cluster(Response):
    """A cluster, what it last reported, and how many jobs it has.

    `url` is null when no setting names it any more. `problem`: why its last response was unusable. `drained_at`: since
    when it gets no new jobs. `submitting`: jobs that are being submitted to it. `simulated`: it trains nothing.
    """

    name: str
    url: str | None
    executor: str | None
    simulated: bool
    gpus: list[GpuPool]
    answered_at: datetime | None
    problem: str | None
    drained_at: datetime | None
    submitting: int
    running: int


class GpuLimit(Response):
    """Interchangeable GPUs of a cluster; null: of any type, or as many as the cluster accepts.

    `max_total`: the most that the cluster ever had.
    """

    types: list[str] | None
    free: int | None
    max_total: int | None


class ClusterCapacity(Response):
    """What a configured cluster can run, as it last reported.

    `gpus` null: it has never answered. `base_models` null: any. `fetches_models`: it fetches base models from a hub.
    `inputs`: jobs may have a validation data set, and an adapter to start from. `usable`: it answers, and takes jobs.
    """

    name: str
    gpus: list[GpuLimit] | None
    base_models: list[str] | None
    fetches_models: bool = False
    inputs: bool = True
    usable: bool


class SetShare(BaseModel):
    """A user's share of the GPUs; omitted fields get the defaults of new users.

    `weight`: twice the weight gets twice the GPU time while both users have jobs waiting. Without `quota_gpus` the
    installation's quota holds.
    """

    model_config = ConfigDict(extra="forbid")

    weight: Annotated[float, Field(strict=True, ge=0.001, le=1000, allow_inf_nan=False)] = 1.0
    quota_gpus: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = None


class Share(Response):
    """A user's weight, the quota that holds (null: none), and the GPUs in use."""

    user_id: UUID
    weight: float
    quota_gpus: int | None
    gpus: int


class ChangePriority(BaseModel):
    """`low`, `normal` and `high` order a user's own jobs; `urgent` goes before everybody's."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority
