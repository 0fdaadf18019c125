"""What trainers write to their logs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from brightrun.cluster import actions
from brightrun.cluster.errors import TooManyFollowers
from brightrun.cluster.routes.parameters import Cluster, ClusterOf

router = APIRouter()

MAX_FOLLOWERS = 200
SECONDS_BETWEEN_LOOKS = 0.3

following: set[object] = set()


@router.get("/logs/{run_id}", response_class=PlainTextResponse)
async def read_log(
    run_id: str,
    cluster: ClusterOf,
    tail: Annotated[int, Query(ge=0, le=5000)] = 200,
    follow: Annotated[bool, Query(description="go on with what is written from now on, until the run ends")] = False,
) -> Response:
    """The last lines of the trainer's log; with `follow` a stream that ends with the run."""
    await cluster.store.read(actions.get, run_id)
    if not follow:
        text, _ = await asyncio.to_thread(cluster.folder(run_id).read_log, tail)
        return PlainTextResponse(text)
    if len(following) >= MAX_FOLLOWERS:
        raise TooManyFollowers
    return StreamingResponse(_follow(run_id, cluster, tail), media_type="text/plain; charset=utf-8")


async def _follow(run_id: str, cluster: Cluster, tail: int) -> AsyncIterator[bytes]:
    me = object()
    following.add(me)
    try:
        folder = cluster.folder(run_id)
        text, offset = await asyncio.to_thread(folder.read_log, tail)
        yield text
        over = False
        while not cluster.store.released:
            text, offset = await asyncio.to_thread(folder.read_log_from, offset)
            if text:
                yield text
            elif over:
                return
            else:
                # What was written before the end is read once more after it.
                over = (await cluster.store.read(actions.get, run_id)).finished
                if not over:
                    await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        following.discard(me)
