"""Internal reads: what a user's jobs measured, did and cost."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from brightrun.runtime.database import Db
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf
from brightrun.tracker import actions
from brightrun.tracker.models import HIGHEST_STEP
from brightrun.tracker.queries import checkpoints, ledger, log
from brightrun.tracker.schemas import (
    CheckpointsView,
    CheckpointView,
    CostGroupsView,
    CostRecordsView,
    CostsView,
    EventsView,
    JobCostsView,
    Window,
    points_of,
)

MAX_RECORDS = 10_000
RECORDS_PAGE = 1000
FIRST_ID = UUID(int=0)
LATEST = (2**31 - 1, 2**63 - 1)

router = APIRouter()


@router.get("/jobs/{job_id}/metrics")
async def read_metrics(job_id: UUID, caller: CallerOf, pool: Db, window: Annotated[Window, Query()]) -> Response:
    """The job's `points` from step `from` to `to`, thinned to `max_points` where there are more, by their steps.

    They are many, and known to be what they are: no model checks them on their way out.
    """
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        await actions.require_owner(conn, job_id, caller.user)
        curve = await actions.draw_curve(conn, job_id, window.first, window.last, window.max_points)
    answer = Envelope[Any](data={"points": points_of(curve)})
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/jobs/{job_id}/checkpoints")
async def read_checkpoints(
    job_id: UUID,
    caller: CallerOf,
    pool: Db,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,9}-[0-9]{1,18}$")] = None,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    step: Annotated[int | None, Query(ge=0, le=HIGHEST_STEP)] = None,
) -> Envelope[CheckpointsView]:
    """What the job's runs saved, newest first: the first of them, or those that follow the checkpoint `after`.

    With `step`, those of one step: each attempt may have one.
    """
    attempt, last_step = map(int, after.split("-")) if after else LATEST
    async with pool.acquire() as conn:
        await actions.require_owner(conn, job_id, caller.user)
        saved = await checkpoints.list_checkpoints(conn, job_id, (attempt, last_step), limit, step)
    return Envelope(data=CheckpointsView(checkpoints=[CheckpointView.of(checkpoint) for checkpoint in saved]))


@router.get("/jobs/{job_id}/events")
async def read_events(
    job_id: UUID,
    caller: CallerOf,
    pool: Db,
    *,
    after: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    order: Literal["asc", "desc"] = "asc",
) -> Envelope[EventsView]:
    """The part of the job's log that follows the entry `after`: oldest first, or newest first with `order=desc`."""
    async with pool.acquire() as conn:
        await actions.require_owner(conn, job_id, caller.user)
        if order == "asc":
            entries = await log.list_entries(conn, job_id, after or 0, limit)
        else:
            entries = await log.list_newest_entries(conn, job_id, after, limit)
    return Envelope(data=EventsView.model_validate({"events": entries}))


@router.get("/jobs/{job_id}/costs")
async def read_job_costs(job_id: UUID, caller: CallerOf, pool: Db) -> Envelope[JobCostsView]:
    """What the job has cost so far."""
    async with pool.acquire() as conn:
        await actions.require_owner(conn, job_id, caller.user)
        records = await ledger.list_job_costs(conn, job_id)
    return Envelope(data=JobCostsView.model_validate({"cost_records": records}))


@router.get("/costs/groups")
async def read_cost_groups(
    caller: CallerOf, pool: Db, start: AwareDatetime, end: AwareDatetime, by: Literal["day", "job"]
) -> Envelope[CostGroupsView]:
    """What each of the user's days or jobs cost from `start` to `end`, both included."""
    async with pool.acquire() as conn:
        groups = await ledger.sum_by(conn, caller.user, start, end, by)
    return Envelope(data=CostGroupsView.model_validate({"groups": groups}))


@router.get("/costs/records")
async def read_cost_records(
    caller: CallerOf,
    pool: Db,
    start: AwareDatetime,
    end: AwareDatetime,
    *,
    after_time: AwareDatetime | None = None,
    after_id: UUID = FIRST_ID,
) -> Envelope[CostRecordsView]:
    """A page of what the user's jobs cost from `start` to `end`, oldest first; `after_…`: the page before's `next`."""
    after = (after_time or start, after_id)
    async with pool.acquire() as conn:
        records = await ledger.slice_costs(conn, caller.user, after, end, RECORDS_PAGE)
    return Envelope(data=CostRecordsView.of(records, RECORDS_PAGE))


@router.get("/costs")
async def read_costs(caller: CallerOf, pool: Db, start: AwareDatetime, end: AwareDatetime) -> Envelope[CostsView]:
    """What the user's jobs cost from `start` to `end`, both included."""
    async with pool.acquire() as conn:
        days = await ledger.sum_costs(conn, caller.user, start, end)
        newest = await ledger.list_costs(conn, caller.user, start, end, MAX_RECORDS + 1)
    return Envelope(data=CostsView.of(days, newest, MAX_RECORDS))
