"""Where a job stands in the queue, for its user."""

from typing import cast
from uuid import UUID

from fastapi import APIRouter, Request

from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf
from brightrun.scheduler.queries import attempts, clusters, queue, shares
from brightrun.scheduler.rules import capacity, forecast, retries
from brightrun.scheduler.rules.forecast import Outlook, Place
from brightrun.scheduler.schemas import QueuePlace
from brightrun.scheduler.settings import Settings

MAX_FORECAST = 5000
"""Waiting jobs, the oldest; a job behind them has no place yet."""

NEWEST_FINISHED = 50

router = APIRouter()


@router.get("/jobs/{job_id}/queue")
async def read_queue_place(job_id: UUID, caller: CallerOf, pool: Db, request: Request) -> Envelope[QueuePlace]:
    """The job's place among the waiting ones, and when it is expected to start."""
    state = await queue.find_state(pool, caller.user, job_id)
    if state is None:
        raise NotFound
    if state == "pausing":
        return Envelope(data=QueuePlace(waits_for="retry"))
    if state != "waiting":
        return Envelope(data=QueuePlace())
    place = await _find_place(pool, job_id, cast("Settings", request.app.state.settings))
    return Envelope(data=QueuePlace.of(place) if place else QueuePlace())


async def _find_place(pool: Pool, job_id: UUID, settings: Settings) -> Place | None:
    waiting = await queue.read_waiting(pool, MAX_FORECAST)
    users = await shares.read_shares(pool, {job.user_id for job in waiting}, settings.quota_gpus)
    names = [cluster.name for cluster in settings.all_clusters]
    rooms = capacity.rooms_of(await clusters.read_reports(pool, names, retries.SILENCE))
    pace = await attempts.read_pace(pool, NEWEST_FINISHED)
    running = await attempts.read_running(pool, pace)
    outlook = Outlook(users, rooms, running, utc_now(), pace)
    return forecast.place_of(job_id, forecast.order(waiting, users), outlook)
