"""HTTP bodies."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from brightrun.scheduler.models import ClusterState, Pool, Share
from brightrun.scheduler.rules.forecast import Place


class QueuePlace(BaseModel):
    """1 is next; None when the job does not wait.

    `ahead_gpus`: what the jobs before it need together. `expected_start` is None when nobody can tell.
    `waits_for`: free GPUs, the user's quota, a cluster that has such GPUs and answers, or the pause before a retry.
    """

    position: int | None = None
    ahead_gpus: int | None = None
    expected_start: datetime | None = None
    waits_for: Literal["gpus", "quota", "cluster", "retry"] | None = None

    @classmethod
    def of(cls, place: Place) -> Self:
        """As users see it."""
        return cls(
            position=place.position,
            ahead_gpus=place.ahead_gpus,
            expected_start=place.expected_start,
            waits_for=place.waits_for,
        )


class PoolView(BaseModel):
    """GPUs that stand in for each other; None: of any type, or as many as the cluster takes."""

    types: list[str] | None
    total: int | None
    free: int | None

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """As operators see it."""
        return cls(types=sorted(pool.types) if pool.types is not None else None, total=pool.total, free=pool.free)


class ClusterView(BaseModel):
    """A cluster. `url` is None when no setting names it any more; `problem` is why it gave no good answer last."""

    name: str
    url: str | None
    executor: str | None
    simulated: bool
    gpus: list[PoolView]
    answered_at: datetime | None
    problem: str | None
    drained_at: datetime | None
    submitting: int
    running: int

    @classmethod
    def of(cls, state: ClusterState, url: str | None, attempts: Mapping[str, int]) -> Self:
        """As operators see it."""
        return cls(
            name=state.name,
            url=url,
            executor=state.capabilities.executor if state.capabilities else None,
            simulated=bool(state.capabilities and state.capabilities.simulated),
            gpus=[PoolView.of(pool) for pool in state.pools or ()],
            answered_at=state.answered_at,
            problem=state.problem,
            drained_at=state.drained_at,
            submitting=attempts.get("submitting", 0),
            running=attempts.get("live", 0),
        )


class SetShare(BaseModel):
    """`weight`: twice as much gets twice the GPU time, while both want it. `quota_gpus` None: the setting's."""

    model_config = ConfigDict(extra="forbid")

    weight: Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)] = 1.0
    quota_gpus: Annotated[int | None, Field(ge=0, le=1_000_000)] = None


class ShareView(BaseModel):
    """What a user may have: the weight, the quota that holds (None: none), and the GPUs in use."""

    user_id: UUID
    weight: float
    quota_gpus: int | None
    gpus: int

    @classmethod
    def of(cls, share: Share) -> Self:
        """As operators see it."""
        return cls(user_id=share.user_id, weight=share.weight, quota_gpus=share.quota, gpus=share.gpus)


class ChangePriority(BaseModel):
    """`low`, `normal` and `high` order a user's own jobs; `urgent` goes before everybody's."""

    model_config = ConfigDict(extra="forbid")

    priority: Literal["low", "normal", "high", "urgent"]
