"""The cluster API over HTTP: the original's four endpoints and what this cluster adds."""

import hmac
import math
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

from brightrun.cluster import actions, file_urls, queries
from brightrun.cluster.errors import BadFileUrl, NotCompleted
from brightrun.cluster.executor import Executor
from brightrun.cluster.models import Hardware, Run
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.schemas import Pagination, RunFilter, RunList, RunSummary
from brightrun.cluster.settings import Settings
from brightrun.cluster.store import Store
from brightrun.cluster.supervisor import Supervisor, run_path
from brightrun.contracts.cluster_api import (
    Capabilities,
    Capacity,
    RunArtifacts,
    RunEvents,
    RunStatus,
    SubmitRun,
    SubmittedRun,
)
from brightrun.runtime.errors import NotFound, Unauthorized


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the routes work with; `app.state.cluster`."""

    settings: Settings
    store: Store
    executor: Executor
    supervisor: Supervisor

    @property
    def key(self) -> str:
        """The bearer key."""
        return self.settings.cluster_key.get_secret_value()

    def hardware(self) -> Hardware:
        """What can be run now."""
        return Hardware(
            self.settings.gpu_type, self.settings.slots, self.executor.base_models(), self.executor.simulated
        )


async def _cluster(request: Request) -> Cluster:
    return cast("Cluster", request.app.state.cluster)


ClusterOf = Annotated[Cluster, Depends(_cluster)]


async def _check_key(request: Request, cluster: ClusterOf) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), cluster.key.encode()):
        raise Unauthorized


router = APIRouter(prefix="/training", dependencies=[Depends(_check_key)])
open_router = APIRouter()


@router.post("/submit", status_code=201)
async def submit(body: SubmitRun, cluster: ClusterOf, response: Response) -> SubmittedRun:
    """Take a run; 200 with the first run when the attempt was submitted before."""
    free_bytes = shutil.disk_usage(cluster.settings.cluster_home).free
    run, created = await cluster.store.transact(actions.submit, body, cluster.hardware(), free_bytes)
    if created:
        cluster.supervisor.watch(run)
    else:
        response.status_code = 200
    return SubmittedRun(external_job_id=run.id, status=run.status.status)


@router.get("/status/{run_id}")
async def read_status(run_id: str, cluster: ClusterOf) -> RunStatus:
    """Where the run stands."""
    return (await cluster.store.read(actions.get, run_id)).status


@router.post("/cancel/{run_id}")
async def cancel(run_id: str, cluster: ClusterOf) -> RunStatus:
    """Let the run save a checkpoint and stop; a finished run stays what it is."""
    return (await cluster.supervisor.cancel(run_id)).status


@router.get("/artifacts/{run_id}")
async def read_artifacts(run_id: str, cluster: ClusterOf, request: Request) -> RunArtifacts:
    """The files of a completed run, with URLs that open them for a while."""
    run = await cluster.store.read(actions.get, run_id)
    if run.status.status != "completed":
        raise NotCompleted({"status": run.status.status})
    expires = int(time.time()) + cluster.settings.file_url_seconds
    urls = {
        file.name: str(
            request.url_for("read_file", run_id=run_id, name=file.name).include_query_params(
                **file_urls.sign(cluster.key, run_id, file.name, expires)
            )
        )
        for file in run.files
    }
    return RunArtifacts(download_urls=urls, model_metadata=_metadata(run), files=run.files)


def _metadata(run: Run) -> dict[str, object]:
    return run.metadata | ({"simulated": True} if run.simulated else {})


@open_router.get("/training/files/{run_id}/{name:path}")
async def read_file(run_id: str, name: str, cluster: ClusterOf, expires: str = "", signature: str = "") -> FileResponse:
    """The file, whole or by ranges. Opened by the URL's signature, not by the key."""
    if not file_urls.valid(cluster.key, run_id, name, expires, signature):
        raise BadFileUrl
    run = await cluster.store.read(actions.get, run_id)
    if name not in {file.name for file in run.files}:
        raise NotFound
    return FileResponse(RunFolder(run_path(cluster.settings, run_id)).adapter / name)


@router.get("/events")
async def read_events(
    cluster: ClusterOf,
    after: Annotated[int, Query(ge=0)] = 0,
    wait: Annotated[float, Query(ge=0, le=20, description="seconds")] = 0,
) -> RunEvents:
    """What happened after the cursor, over all runs; answers as soon as something does."""
    return await cluster.store.read_events(after, wait)


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
    pagination = Pagination(page=page, limit=limit, total=total, totalPages=math.ceil(total / limit))
    return RunList(runs=[RunSummary.of(run) for run in runs], pagination=pagination)


@router.get("/logs/{run_id}", response_class=PlainTextResponse)
async def read_log(run_id: str, cluster: ClusterOf, tail: Annotated[int, Query(ge=1, le=5000)] = 200) -> str:
    """The last lines of the trainer's log."""
    run = await cluster.store.read(actions.get, run_id)
    return RunFolder(run_path(cluster.settings, run.id)).read_log(tail)


@router.get("/capabilities")
async def read_capabilities(cluster: ClusterOf) -> Capabilities:
    """What this cluster is and can do."""
    hardware = cluster.hardware()
    return Capabilities(
        name=cluster.settings.cluster_name,
        version=version("brightrun-cluster"),
        executor=cluster.executor.name,
        simulated=hardware.simulated,
        gpu_types=(hardware.gpu_type,),
        base_models=hardware.base_models or (),
        idempotent_submit=True,
        events=True,
        graceful_stop=True,
        logs=True,
    )


@router.get("/capacity")
async def read_capacity(cluster: ClusterOf) -> Capacity:
    """GPUs in all, and free ones."""
    taken = await cluster.store.read(queries.taken_devices)
    slots = cluster.settings.slots
    return Capacity(total_gpus=slots, free_gpus=len(set(range(slots)) - taken))


@open_router.get("/ready", include_in_schema=False)
async def ready(cluster: ClusterOf) -> dict[str, bool]:
    """Whether the database answers."""
    await cluster.store.read(queries.newest_cursor)
    return {"success": True}
