"""Adapters and checkpoints, opened by signed URLs."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, StreamingResponse

from brightrun.cluster.downloads import file_urls
from brightrun.cluster.downloads.tar import Tar
from brightrun.cluster.errors import NotCompleted, Removed
from brightrun.cluster.files.checkpoints import complete_checkpoints
from brightrun.cluster.retention import queries
from brightrun.cluster.runs import actions
from brightrun.cluster.runs.dependencies import ContextOf
from brightrun.cluster.runs.run_context import RunContext
from brightrun.contracts.cluster_api import RunArtifacts, RunCheckpoint, RunCheckpoints
from brightrun.contracts.values import utc_now
from brightrun.runtime.errors import NotFound

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
async def list_checkpoints(run_id: str, context: ContextOf, request: Request) -> RunCheckpoints:
    """The complete checkpoints that are on disk now, with URLs that open them for a while."""
    await context.store.read(actions.get_run, run_id)
    checkpoints = await asyncio.to_thread(complete_checkpoints, context.folder(run_id).checkpoints)
    return RunCheckpoints(
        checkpoints=tuple(
            RunCheckpoint(
                step=saved.step,
                saved_at=saved.saved_at,
                size=saved.size,
                download_url=_signed_url(
                    request, context, "read_checkpoint", _name(saved.step), run_id=run_id, step=saved.step
                ),
            )
            for saved in checkpoints
        )
    )


@open_router.get("/training/checkpoints/{run_id}/{step}.tar")
async def read_checkpoint(
    run_id: str, step: int, context: ContextOf, expires: str = "", signature: str = ""
) -> StreamingResponse:
    """A tar of the checkpoint, made while it is sent. Opened by the URL's signature, not by the key."""
    file_urls.check(_key(context), run_id, _name(step), expires, signature)
    tar = await asyncio.to_thread(_open_tar, context, run_id, step)
    headers = {
        "content-length": str(tar.size),
        "content-disposition": f'attachment; filename="checkpoint-{step}.tar"',
    }
    return StreamingResponse(tar.stream(), media_type="application/x-tar", headers=headers)


def _open_tar(context: RunContext, run_id: str, step: int) -> Tar:
    for checkpoint in complete_checkpoints(context.folder(run_id).checkpoints):
        if checkpoint.step == step:
            try:
                return Tar(checkpoint.path)
            except FileNotFoundError as error:  # a newer one has replaced it at this moment
                raise NotFound from error
    raise NotFound


def _signed_url(request: Request, context: RunContext, route: str, file_name: str, **path: Any) -> str:
    """The URL of the route that opens the file `file_name` of the run in `path` for a while."""
    expires = int(time.time()) + context.settings.file_url_seconds
    query = file_urls.sign(_key(context), path["run_id"], file_name, expires)
    return str(request.url_for(route, **path).include_query_params(**query))


def _key(context: RunContext) -> str:
    return context.settings.cluster_key.get_secret_value()


def _name(step: int) -> str:
    return f"checkpoints/{step}"
