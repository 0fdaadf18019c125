"""HTTP routes of a job's stream and checkpoints."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, Field

from brightrun.api.accounts.authentication import Reader
from brightrun.api.http.errors import error_responses
from brightrun.api.http.parameters import Clients, Limit
from brightrun.api.jobs import tracker
from brightrun.api.jobs.actions import get_job
from brightrun.api.jobs.errors import TooManyStreams
from brightrun.api.jobs.streams.live import Live, Watch
from brightrun.api.jobs.streams.stream import JobStream, Sources
from brightrun.runtime.database import Db
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=BoundedRoute)
UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-Sent Events: `log`, an entry of the log with its id, and `progress`, how far the job is",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: log\ndata: {"id":8,"type":"queued",…}\nid: 8\n\n'
                'event: progress\ndata: {"status":"running","progress":12.5,…}\n\n',
            }
        },
    },
    204: {"description": "The job is over and the client has had all of its log: it need not come back."},
}
EntryId = Annotated[int, Query(ge=0, le=2**63 - 1)]


class Checkpoint(BaseModel):
    """A checkpoint with the last metrics before it; null is not measured."""

    id: str = Field(examples=["1-1500"])
    attempt: int
    step: int
    saved_at: datetime
    training_loss: float | None
    token_accuracy: float | None
    validation_loss: float | None
    validation_token_accuracy: float | None


class Checkpoints(BaseModel):
    """A job's checkpoints, newest first."""

    checkpoints: list[Checkpoint]


async def _live(request: Request) -> Live:
    return cast("Live", request.app.state.live)


LiveJobs = Annotated[Live, Depends(_live)]


async def _watch(job_id: UUID, user: Reader, pool: Db, live: LiveJobs) -> AsyncIterator[Watch]:
    await get_job(pool, user.id, job_id)
    with live.watch(user.id, job_id) as watch:
        yield watch


@router.get(
    "/{job_id}/events/stream",
    summary="A job's history while it happens",
    response_class=Response,
    responses=STREAMED | error_responses(TooManyStreams),
)
async def stream_events(
    job_id: UUID,
    user: Reader,
    pool: Db,
    clients: Clients,
    live: LiveJobs,
    *,
    watch: Annotated[Watch, Depends(_watch)],
    after: EntryId = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=2**63 - 1, description="instead of `after`")] = None,
) -> Response:
    """Every log entry after the one with the id `after`, then each new one, with progress in between.

    Ends with the last entry; for a completed job that is `artifact_ready`. It also ends every ten minutes and when the
    gateway restarts. Reconnect with the last id, as browsers do: no entry is missed or repeated.
    """
    sources = Sources(pool, clients.tracker, user.id, job_id)
    stream = JobStream(live, watch, sources, after if last_event_id is None else last_event_id)
    if not await stream.open():
        return Response(status_code=204)
    return EventSourceResponse(stream.events(), headers=UNBUFFERED)


@router.get("/{job_id}/checkpoints", summary="A job's checkpoints, newest first")
async def list_checkpoints(
    job_id: UUID,
    user: Reader,
    pool: Db,
    clients: Clients,
    *,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,9}-[0-9]{1,18}$", description="the `id` of one")] = None,
    limit: Limit = 100,
) -> Envelope[Checkpoints]:
    """The newest, or those after the checkpoint `after`."""
    await get_job(pool, user.id, job_id)
    found = await tracker.fetch_checkpoints(clients.tracker, user.id, job_id, after=after, limit=limit)
    return Envelope(data=Checkpoints(checkpoints=[Checkpoint.model_validate(checkpoint) for checkpoint in found]))
