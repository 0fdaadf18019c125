"""Internal reads: what a user's jobs measured, did and cost."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from brightrun.runtime.http import Answer, Db
from brightrun.runtime.tokens import CallerOf
from brightrun.tracker import actions, queries
from brightrun.tracker.schemas import CostsView, EventsView, JobCostsView, MetricsView, Window

MOST_RECORDS = 10_000

router = APIRouter()


@router.get("/jobs/{job_id}/metrics")
async def read_metrics(
    job_id: UUID, caller: CallerOf, pool: Db, window: Annotated[Window, Query()]
) -> Answer[MetricsView]:
    """The job's points from step `from` to `to`, thinned to `max_points` where there are more."""
    async with pool.acquire() as conn:
        await actions.require_owner(conn, job_id, caller.user)
        points = await actions.draw_curve(conn, job_id, window.first, window.last, window.max_points)
    return Answer(data=MetricsView.model_validate({"points": points}))


@router.get("/jobs/{job_id}/events")
async def read_events(
    job_id: UUID,
    caller: CallerOf,
    pool: Db,
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
) -> Answer[EventsView]:
    """The job's log after the entry `after`."""
    async with pool.acquire() as conn:
        await actions.require_owner(conn, job_id, caller.user)
        entries = await queries.list_entries(conn, job_id, after, limit)
    return Answer(data=EventsView.model_validate({"events": entries}))


@router.get("/jobs/{job_id}/costs")
async def read_job_costs(job_id: UUID, caller: CallerOf, pool: Db) -> Answer[JobCostsView]:
    """What the job has cost so far."""
    async with pool.acquire() as conn:
        await actions.require_owner(conn, job_id, caller.user)
        records = await queries.list_job_costs(conn, job_id)
    return Answer(data=JobCostsView.model_validate({"cost_records": records}))


@router.get("/costs")
async def read_costs(caller: CallerOf, pool: Db, start: AwareDatetime, end: AwareDatetime) -> Answer[CostsView]:
    """What the user's jobs cost from `start` to `end`, both included."""
    async with pool.acquire() as conn:
        days = await queries.sum_costs(conn, caller.user, start, end)
        newest = await queries.list_costs(conn, caller.user, start, end, MOST_RECORDS + 1)
    return Answer(data=CostsView.of(days, newest, MOST_RECORDS))
