"""HTTP in: the cluster's callbacks, and where a job stands in the queue."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request

from brightrun.contracts import signatures
from brightrun.runtime.errors import NotFound, Unauthorized
from brightrun.runtime.http import Answer, Db
from brightrun.runtime.tokens import CallerOf
from brightrun.scheduler import queries
from brightrun.scheduler.schemas import QueuePlace

router = APIRouter()


@router.post("/callbacks", status_code=202)
async def hear_callback(
    request: Request,
    pool: Db,
    timestamp: Annotated[str, Header(alias=signatures.TIMESTAMP_HEADER)] = "",
    signature: Annotated[str, Header(alias=signatures.SIGNATURE_HEADER)] = "",
) -> Answer[str]:
    """Wake the watcher. A callback has no authority: what happened is read from the cluster."""
    secret = request.app.state.settings.callback_secret.get_secret_value()
    if not signatures.valid(secret, await request.body(), timestamp, signature):
        raise Unauthorized
    await queries.wake(pool, "watch")
    return Answer(data="heard")


@router.get("/jobs/{job_id}/queue")
async def read_queue_place(job_id: UUID, caller: CallerOf, pool: Db) -> Answer[QueuePlace]:
    """The job's place among the waiting ones."""
    known, position = await queries.read_position(pool, caller.user, job_id)
    if not known:
        raise NotFound
    return Answer(data=QueuePlace(position=position))
