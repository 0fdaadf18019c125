"""Runs: taken, watched, listed and ended."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response
from prometheus_client import Counter

from brightrun.cluster import actions, checkpoints, queries
from brightrun.cluster.errors import ExecutorUnreachable, NotResumable
from brightrun.cluster.executor import Unreachable
from brightrun.cluster.models import Run
from brightrun.cluster.routes.parameters import Cluster, ClusterOf
from brightrun.cluster.schemas import RunFilter
from brightrun.contracts.cluster_api import (
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


@router.post("/submit", status_code=201)
async def submit(body: SubmitRun, cluster: ClusterOf, response: Response) -> SubmittedRun:
    """Take a run; 200 with the first run when the attempt was submitted before."""
    try:
        run, created = await _take(body, cluster)
    except ServiceError as refusal:
        SUBMITTED.labels(refusal.code).inc()
        raise
    SUBMITTED.labels("taken" if created else "known").inc()
    if created:
        cluster.supervisor.watch(run)
    else:
        response.status_code = 200
    return SubmittedRun(external_job_id=run.id, status=run.status.status)


async def _take(body: SubmitRun, cluster: Cluster) -> tuple[Run, bool]:
    adopts = None
    if body.resume_from:
        known = await cluster.store.read(queries.find_attempt, body.job_id, body.attempt)
        if known:  # whatever became of the earlier run since
            return known, False
        adopts = await _earlier_run(body.resume_from, body, cluster)
    try:
        hardware = await cluster.executor.hardware()
    except Unreachable as error:
        raise ExecutorUnreachable(str(error)) from error
    return await cluster.store.transact(
        actions.submit,
        body,
        hardware=hardware,
        room=cluster.facilities.room(live_runs=0),
        limits=cluster.settings.limits(),
        adopts=adopts,
    )


async def _earlier_run(run_id: str | None, request: SubmitRun, cluster: Cluster) -> str:
    """The run whose checkpoints the new one starts with: one that got none of its own had those of the run before."""
    while run_id:
        run = await cluster.store.read(queries.find_run, run_id)
        if run is None or run.request.job_id != request.job_id:
            raise NotResumable({"resume_from": ["there is no such run of this job"]})
        if await asyncio.to_thread(checkpoints.complete, cluster.folder(run_id).checkpoints):
            return run_id
        run_id = run.adopts
    raise NotResumable({"resume_from": ["the run has no complete checkpoint"]})


@router.get("/status/{run_id}")
async def read_status(run_id: str, cluster: ClusterOf) -> RunStatus:
    """Where the run stands."""
    return (await cluster.store.read(actions.get, run_id)).status


@router.post("/cancel/{run_id}")
async def cancel(run_id: str, cluster: ClusterOf) -> RunStatus:
    """Let the run save a checkpoint and stop; a finished run stays what it is."""
    return (await cluster.supervisor.cancel(run_id)).status


@router.post("/stop/{run_id}")
async def stop(run_id: str, body: StopRun, cluster: ClusterOf) -> RunStatus:
    """Let the run save a checkpoint and stop, or train no further and deliver; a finished run stays what it is."""
    end = cluster.supervisor.cancel if body.mode == "checkpoint" else cluster.supervisor.finish
    return (await end(run_id)).status


@router.get("/events", response_model=RunEvents)
async def read_events(
    cluster: ClusterOf,
    after: Annotated[int, Query(ge=0)] = 0,
    wait: Annotated[float, Query(ge=0, le=20, description="seconds")] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> Response:
    """What happened after the cursor, over all runs; answers as soon as something does."""
    return Response(await cluster.store.read_events(after, wait, limit), media_type="application/json")


@router.get("/runs")
async def list_runs(wanted: Annotated[RunFilter, Query()], cluster: ClusterOf) -> RunList:
    """The runs, newest first; those of a job or an attempt, or those that are (not) live."""
    page, limit = wanted.page, wanted.limit
    runs, total = await cluster.store.read(
        queries.list_runs,
        job_id=wanted.job_id,
        attempt=wanted.attempt,
        live=wanted.live,
        limit=limit,
        offset=(page - 1) * limit,
    )
    pagination = Pagination.of(page, limit, total)
    return RunList(runs=tuple(runs), pagination=pagination)
