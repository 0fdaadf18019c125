"""A job's position in the queue, for its user; shares and priorities, for operators.

Internal: the api lets only administrators in to /admin.
"""

from typing import cast
from uuid import UUID

from fastapi import APIRouter, Request

from brightrun.contracts.scheduling import ChangePriority, QueuePosition, SetShare, Share
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf
from brightrun.scheduler.clusters.queries import read_reports
from brightrun.scheduler.clusters.rules import MAX_SILENCE, free_gpus_of
from brightrun.scheduler.queue import actions, queries
from brightrun.scheduler.queue.rules import forecast
from brightrun.scheduler.settings import Settings
from brightrun.scheduler.states import JobState

MAX_FORECAST = 5000
"""Waiting jobs, the oldest; a job behind them has no position yet."""

NEWEST_FINISHED = 50

router = APIRouter()


@router.get("/jobs/{job_id}/queue")
async def read_queue_position(job_id: UUID, caller: CallerOf, pool: Db, request: Request) -> Envelope[QueuePosition]:
    """The job's position among the waiting ones, and when it is expected to start."""
    job = await queries.find_position(pool, caller.user, job_id)
    if job is None:
        raise NotFound
    if job.state is not JobState.WAITING:
        return Envelope(data=QueuePosition())
    if job.backing_off:
        return Envelope(data=QueuePosition(waits_for="retry"))
    position = await _forecast(pool, job_id, cast("Settings", request.app.state.settings))
    return Envelope(data=position or QueuePosition())


async def _forecast(pool: Pool, job_id: UUID, settings: Settings) -> QueuePosition | None:
    waiting = await queries.read_waiting(pool, MAX_FORECAST)
    users = await queries.read_shares(pool, {job.user_id for job in waiting}, settings.quota_gpus)
    names = [cluster.name for cluster in settings.all_clusters]
    free_gpus = free_gpus_of(await read_reports(pool, names, MAX_SILENCE))
    duration_ratio = await queries.read_duration_ratio(pool, NEWEST_FINISHED)
    running = await queries.read_running(pool, duration_ratio)
    snapshot = forecast.Snapshot(users, free_gpus, running, utc_now(), duration_ratio)
    return forecast.position_of(job_id, forecast.order(waiting, users), snapshot)


@router.get("/admin/users/{user_id}/share")
async def read_share(user_id: UUID, _: CallerOf, pool: Db, request: Request) -> Envelope[Share]:
    """What the user may have, and has now; an unknown user may have what new users may."""
    return Envelope(data=await queries.read_share(pool, user_id, _default_quota(request)))


@router.put("/admin/users/{user_id}/share")
async def set_share(user_id: UUID, body: SetShare, _: CallerOf, pool: Db, request: Request) -> Envelope[Share]:
    """Give the user another weight or quota; running jobs go on."""
    async with transaction(pool) as conn:
        await actions.set_share(conn, user_id, body.weight, body.quota_gpus)
    return Envelope(data=await queries.read_share(pool, user_id, _default_quota(request)))


@router.put("/admin/jobs/{job_id}/priority")
async def set_priority(job_id: UUID, body: ChangePriority, _: CallerOf, pool: Db) -> Envelope[str]:
    """Move a waiting job among its user's, or, as urgent, before everybody's."""
    async with transaction(pool) as conn:
        await actions.set_priority(conn, job_id, body.priority)
    return Envelope(data="set")


def _default_quota(request: Request) -> int | None:
    return cast("Settings", request.app.state.settings).quota_gpus
