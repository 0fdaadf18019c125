"""Runs: submitted, read, listed and ended; and how many more there is room for."""

import asyncio
import contextlib
import time
from typing import Annotated

from fastapi import APIRouter, Query, Response
from prometheus_client import Counter, Gauge

from brightrun.cluster.executors.executor import Unreachable
from brightrun.cluster.models import Hardware
from brightrun.cluster.runs import actions, admission, queries, submission
from brightrun.cluster.runs.dependencies import ContextOf, SupervisorOf
from brightrun.cluster.runs.queries import RunFilters
from brightrun.cluster.runs.run_context import RunContext
from brightrun.contracts.cluster_api import (
    Capacity,
    RunEvents,
    RunList,
    RunStatus,
    StopRun,
    SubmitRun,
    SubmittedRun,
)
from brightrun.contracts.pagination import Pagination
from brightrun.runtime.errors import ServiceError

router = APIRouter()

SUBMITTED = Counter("brightrun_cluster_submissions_total", "Submissions, by what was answered.", ["answer"])
GPUS = Gauge("brightrun_cluster_gpus", "GPUs by type: in all, and free for runs.", ["type", "count"])


@router.post("/submit", status_code=201)
async def submit(body: SubmitRun, context: ContextOf, supervisor: SupervisorOf, response: Response) -> SubmittedRun:
    """Take a run; 200 with the first run when the attempt was submitted before."""
    try:
        run, created = await submission.submit(body, context)
    except ServiceError as rejection:
        SUBMITTED.labels(rejection.code).inc()
        raise
    SUBMITTED.labels("taken" if created else "known").inc()
    if created:
        supervisor.watch(run)
    else:
        response.status_code = 200
    return SubmittedRun(external_job_id=run.id, status=run.status.status)


@router.get("/status/{run_id}")
async def read_status(run_id: str, context: ContextOf) -> RunStatus:
    """The state of the run."""
    return (await context.store.read(actions.get_run, run_id)).status


@router.post("/cancel/{run_id}")
async def cancel(run_id: str, supervisor: SupervisorOf) -> RunStatus:
    """Let the run save a checkpoint and stop; a finished run stays what it is."""
    return (await supervisor.stop(run_id, "cancel")).status


@router.post("/stop/{run_id}")
async def stop(run_id: str, body: StopRun, supervisor: SupervisorOf) -> RunStatus:
    """Let the run save a checkpoint and stop, or train no further and deliver; a finished run stays what it is."""
    return (await supervisor.stop(run_id, body.mode)).status


@router.get("/events", response_model=RunEvents)
async def read_events(
    context: ContextOf,
    after: Annotated[int, Query(ge=0)] = 0,
    wait: Annotated[float, Query(ge=0, le=20, description="seconds")] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> Response:
    """The events after the cursor, over all runs; answers as soon as there is one."""
    deadline, store = time.monotonic() + wait, context.store
    while True:
        changed = store.changed  # taken before the read: what is written in between sets it
        count, page = await store.read(queries.read_events, after, limit)
        seconds_left = deadline - time.monotonic()
        if count or seconds_left <= 0 or store.released:
            return Response(page, media_type="application/json")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), seconds_left)


@router.get("/runs")
async def list_runs(filters: Annotated[RunFilters, Query()], context: ContextOf) -> RunList:
    """The runs, newest first; those of a job or an attempt, or those that are (not) live."""
    runs, total = await context.store.read(queries.list_runs, filters)
    pagination = Pagination.of(filters.page, filters.limit, total)
    return RunList(runs=tuple(runs), pagination=pagination)


@router.get("/capacity")
async def read_capacity(context: ContextOf) -> Capacity:
    """GPUs in all, and free ones; none is free while the machine is short of something or does not answer."""
    leased = await context.store.read(queries.count_leases)
    free = context.free_resources(await context.store.read(queries.count_live_runs))
    reason = admission.rejection(free, context.settings.limits())
    capacity = admission.capacity(await _hardware(context), leased, reason)
    for gpu in capacity.gpus:
        GPUS.labels(gpu.type, "total").set(gpu.total)
        GPUS.labels(gpu.type, "free").set(gpu.free)
    return capacity


async def _hardware(context: RunContext) -> Hardware:
    try:
        return await context.executor.hardware()
    except Unreachable:
        return Hardware(dict.fromkeys(context.executor.gpu_types, 0), None, context.executor.simulated)
