"""The log of a run's trainers, read or followed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from brightrun.cluster.errors import TooManyFollowers
from brightrun.cluster.runs import actions
from brightrun.cluster.runs.dependencies import ContextOf
from brightrun.cluster.runs.run_context import RunContext

router = APIRouter()

MAX_FOLLOWERS = 200
POLL_SECONDS = 0.3

followers: set[object] = set()


@router.get("/logs/{run_id}", response_class=PlainTextResponse)
async def read_log(
    run_id: str,
    context: ContextOf,
    tail: Annotated[int, Query(ge=0, le=5000)] = 200,
    follow: Annotated[bool, Query(description="go on with what is written from now on, until the run ends")] = False,
) -> Response:
    """The last lines of the trainer's log; with `follow` a stream that ends with the run."""
    await context.store.read(actions.get_run, run_id)
    if not follow:
        text, _ = await asyncio.to_thread(context.folder(run_id).read_log, tail)
        return PlainTextResponse(text)
    if len(followers) >= MAX_FOLLOWERS:
        raise TooManyFollowers
    return StreamingResponse(_follow(run_id, context, tail), media_type="text/plain; charset=utf-8")


async def _follow(run_id: str, context: RunContext, tail: int) -> AsyncIterator[bytes]:
    follower = object()
    followers.add(follower)
    try:
        folder = context.folder(run_id)
        text, offset = await asyncio.to_thread(folder.read_log, tail)
        yield text
        finished = False
        while not context.store.released:
            text, offset = await asyncio.to_thread(folder.read_log_from, offset)
            if text:
                yield text
            elif finished:
                return
            else:
                # The log is read once more after the end of the run, for what was written before it.
                finished = (await context.store.read(actions.get_run, run_id)).finished
                if not finished:
                    await asyncio.sleep(POLL_SECONDS)
    finally:
        followers.discard(follower)
