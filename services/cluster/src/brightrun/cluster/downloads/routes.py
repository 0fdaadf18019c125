"""Adapters and checkpoints, opened by signed URLs."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse

from brightrun.cluster.downloads import file_urls
from brightrun.cluster.errors import NotCompleted, Removed
from brightrun.cluster.files.checkpoints import checkpoint_path, complete_checkpoints, describe_checkpoint
from brightrun.cluster.retention import queries, rules
from brightrun.cluster.runs import actions
from brightrun.cluster.runs.dependencies import ContextOf
from brightrun.cluster.runs.run_context import RunContext
from brightrun.contracts.cluster_api import RunArtifacts, RunCheckpoint, RunCheckpoints
from brightrun.contracts.events import ADAPTER_FILES
from brightrun.contracts.values import utc_now
from brightrun.runtime.errors import NotFound

MAX_STEP = 2**53
Step = Annotated[int, Path(ge=0, le=MAX_STEP)]

router = APIRouter()
open_router = APIRouter()


@router.get("/artifacts/{run_id}")
async def read_artifacts(run_id: str, context: ContextOf, request: Request) -> RunArtifacts:
    """The files of a completed run, with URLs that open them for a while."""
    run = await context.store.read(actions.get_run, run_id)
    if run.status.status != "completed":
        raise NotCompleted({"status": run.status.status})
    if not context.folder(run_id).path.exists():
        raise Removed
    urls = {
        file.name: _signed_url(request, context, "read_file", file.name, run_id=run_id, name=file.name)
        for file in run.files
    }
    metadata = run.metadata | ({"simulated": True} if run.simulated else {})
    return RunArtifacts(download_urls=urls, model_metadata=metadata, files=run.files)


@open_router.get("/training/files/{run_id}/{name:path}")
async def read_file(run_id: str, name: str, context: ContextOf, expires: str = "", signature: str = "") -> FileResponse:
    """The file, whole or by ranges. Opened by the URL's signature, not by the key."""
    file_urls.check(_key(context), run_id, name, expires, signature)
    run = await context.store.read(actions.get_run, run_id)
    if name not in {file.name for file in run.files}:
        raise NotFound
    path = context.folder(run_id).adapter / name
    if not path.exists():
        raise Removed
    await context.store.transact(queries.record_download, run_id, name, utc_now())
    return FileResponse(path)


@router.get("/checkpoints/{run_id}")
async def list_checkpoints(run_id: str, context: ContextOf) -> RunCheckpoints:
    """The complete checkpoints that are on disk now."""
    run = await context.store.read(actions.get_run, run_id)
    saved = await asyncio.to_thread(complete_checkpoints, context.folder(run_id).checkpoints)
    until = rules.checkpoints_kept_until(
        run.status, context.settings.keep_checkpoint_days, context.settings.keep_run_days
    )
    return RunCheckpoints(
        checkpoints=tuple(
            RunCheckpoint(step=checkpoint.step, saved_at=checkpoint.saved_at, size=checkpoint.size, kept_until=until)
            for checkpoint in saved
        )
    )


@router.get("/checkpoints/{run_id}/{step}")
async def read_checkpoint(run_id: str, step: Step, context: ContextOf, request: Request) -> RunArtifacts:
    """The files that hold the adapter of a checkpoint, with URLs that open them for a while."""
    run = await context.store.read(actions.get_run, run_id)
    try:
        files = await asyncio.to_thread(describe_checkpoint, context.folder(run_id).checkpoints, step)
    except FileNotFoundError:
        raise NotFound from None
    urls = {
        file.name: _signed_url(
            request,
            context,
            "read_checkpoint_file",
            f"{_name(step)}/{file.name}",
            run_id=run_id,
            step=step,
            name=file.name,
        )
        for file in files
    }
    return RunArtifacts(download_urls=urls, model_metadata={"simulated": True} if run.simulated else {}, files=files)


@open_router.get("/training/checkpoints/{run_id}/{step}/{name}")
async def read_checkpoint_file(
    *, run_id: str, step: Step, name: str, context: ContextOf, expires: str = "", signature: str = ""
) -> FileResponse:
    """The file, whole or by ranges. Opened by the URL's signature, not by the key."""
    file_urls.check(_key(context), run_id, f"{_name(step)}/{name}", expires, signature)
    path = checkpoint_path(context.folder(run_id).checkpoints, step) / name
    if name not in ADAPTER_FILES or not path.exists():
        raise NotFound
    return FileResponse(path)


def _signed_url(request: Request, context: RunContext, route: str, file_name: str, **path: Any) -> str:
    """The URL of the route that opens the file `file_name` of the run in `path` for a while."""
    expires = int(time.time()) + context.settings.file_url_seconds
    query = file_urls.sign(_key(context), path["run_id"], file_name, expires)
    return str(request.url_for(route, **path).include_query_params(**query))


def _key(context: RunContext) -> str:
    return context.settings.cluster_key.get_secret_value()


def _name(step: int) -> str:
    return f"checkpoints/{step}"
