"""The files that runs leave: adapters and checkpoints, opened by signed URLs."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from brightrun.cluster import actions, checkpoints, file_urls, queries
from brightrun.cluster.checkpoints import SavedCheckpoint, Tar
from brightrun.cluster.errors import BadFileUrl, NotCompleted, Removed
from brightrun.cluster.models import Run
from brightrun.cluster.routes.parameters import Cluster, ClusterOf
from brightrun.contracts.cluster_api import RunArtifacts, RunCheckpoint, RunCheckpoints
from brightrun.contracts.values import utc_now
from brightrun.runtime.errors import NotFound

router = APIRouter()
open_router = APIRouter()


@router.get("/artifacts/{run_id}")
async def read_artifacts(run_id: str, cluster: ClusterOf, request: Request) -> RunArtifacts:
    """The files of a completed run, with URLs that open them for a while."""
    run = await cluster.store.read(actions.get, run_id)
    if run.status.status != "completed":
        raise NotCompleted({"status": run.status.status})
    if not cluster.folder(run_id).path.exists():
        raise Removed
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


def _metadata(run: Run) -> dict[str, Any]:
    return run.metadata | ({"simulated": True} if run.simulated else {})


@open_router.get("/training/files/{run_id}/{name:path}")
async def read_file(run_id: str, name: str, cluster: ClusterOf, expires: str = "", signature: str = "") -> FileResponse:
    """The file, whole or by ranges. Opened by the URL's signature, not by the key."""
    if not file_urls.valid(cluster.key, run_id, name, expires, signature):
        raise BadFileUrl
    run = await cluster.store.read(actions.get, run_id)
    if name not in {file.name for file in run.files}:
        raise NotFound
    path = cluster.folder(run_id).adapter / name
    if not path.exists():
        raise Removed
    await cluster.store.transact(queries.record_fetch, run_id, name, utc_now())
    return FileResponse(path)


@router.get("/checkpoints/{run_id}")
async def list_checkpoints(run_id: str, cluster: ClusterOf, request: Request) -> RunCheckpoints:
    """The complete checkpoints that are on disk now, with URLs that open them for a while."""
    await cluster.store.read(actions.get, run_id)
    expires = int(time.time()) + cluster.settings.file_url_seconds
    found = await asyncio.to_thread(checkpoints.complete, cluster.folder(run_id).checkpoints)

    def url(step: int) -> str:
        query = file_urls.sign(cluster.key, run_id, _name(step), expires)
        return str(request.url_for("read_checkpoint", run_id=run_id, step=step).include_query_params(**query))

    return RunCheckpoints(
        checkpoints=tuple(
            RunCheckpoint(step=one.step, saved_at=one.saved_at, size=one.size, download_url=url(one.step))
            for one in found
        )
    )


@open_router.get("/training/checkpoints/{run_id}/{step}.tar")
async def read_checkpoint(
    run_id: str, step: int, cluster: ClusterOf, expires: str = "", signature: str = ""
) -> StreamingResponse:
    """A tar of the checkpoint, made while it is sent. Opened by the URL's signature, not by the key."""
    if not file_urls.valid(cluster.key, run_id, _name(step), expires, signature):
        raise BadFileUrl
    tar = await asyncio.to_thread(_open_tar, cluster, run_id, step)
    headers = {
        "content-length": str(tar.size),
        "content-disposition": f'attachment; filename="checkpoint-{step}.tar"',
    }
    return StreamingResponse(_send(tar), media_type="application/x-tar", headers=headers)


def _open_tar(cluster: Cluster, run_id: str, step: int) -> Tar:
    for checkpoint in checkpoints.complete(cluster.folder(run_id).checkpoints):
        if checkpoint.step == step:
            return _tar(checkpoint)
    raise NotFound


def _tar(checkpoint: SavedCheckpoint) -> Tar:
    try:
        return Tar(checkpoint.path)
    except FileNotFoundError as error:  # a newer one has taken its place at this moment
        raise NotFound from error


async def _send(tar: Tar) -> AsyncIterator[bytes]:
    try:
        async for chunk in iterate_in_threadpool(iter(tar)):
            yield chunk
    finally:
        tar.close()


def _name(step: int) -> str:
    return f"checkpoints/{step}"
