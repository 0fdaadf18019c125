"""Who gets GPUs, and when: what the scheduler tells, and what admins decide."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from brightrun.api.http.bodies import Body, Passed, example


class QueuePosition(Passed):
    """Where a job stands among those that wait; all of it is null when the job does not wait.

    `position`: 1 is next. `ahead_gpus`: what the jobs before it need together. `expected_start`: null when nobody can
    tell. `waits_for`: free GPUs, the user's quota, a cluster that has such GPUs and answers, or the pause before the
    next try.
    """

    position: int | None = None
    ahead_gpus: int | None = None
    expected_start: datetime | None = None
    waits_for: Literal["gpus", "quota", "cluster", "retry"] | None = None


class GpuPool(Passed):
    """GPUs that stand in for each other; null: of any type, or as many as the cluster takes."""

    types: list[str] | None
    total: int | None
    free: int | None


class Cluster(Passed):
    """A cluster, what it last said, and how many jobs it has.

    `url` is null when no setting names it any more. `problem`: why it gave no good answer last. `drained_at`: since
    when it gets no new jobs. `submitting`: jobs that are being handed to it. `simulated`: it trains nothing.
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


class Clusters(BaseModel):
    """Every cluster that was ever used."""

    clusters: list[Cluster]


class SetShare(Body):
    """A user's share of the GPUs; what is not given is as for new users.

    `weight`: twice as much gets twice the GPU time, while both want it. Without `quota_gpus` the installation's holds.
    """

    model_config = example({"weight": 2, "quota_gpus": 8})

    weight: Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)] = 1.0
    quota_gpus: Annotated[int | None, Field(ge=0, le=1_000_000)] = None


class Share(Passed):
    """What a user may have: the weight, the quota that holds (null: none), and the GPUs in use."""

    user_id: UUID
    weight: float
    quota_gpus: int | None
    gpus: int


class ChangePriority(Body):
    """`low`, `normal` and `high` order a user's own jobs; `urgent` goes before everybody's."""

    model_config = example({"priority": "urgent"})

    priority: Literal["low", "normal", "high", "urgent"]
