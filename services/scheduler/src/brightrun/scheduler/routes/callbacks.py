"""Clusters' callbacks."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from brightrun.contracts import signatures
from brightrun.runtime.database import Db
from brightrun.runtime.errors import Unauthorized
from brightrun.runtime.http import Envelope
from brightrun.scheduler import queries
from brightrun.scheduler.queries import polling

router = APIRouter()


class Hint(BaseModel):
    """What of a callback is read."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    external_job_id: str


@router.post("/callbacks", status_code=202)
async def hear_callback(
    request: Request,
    pool: Db,
    timestamp: Annotated[str, Header(alias=signatures.TIMESTAMP_HEADER)] = "",
    signature: Annotated[str, Header(alias=signatures.SIGNATURE_HEADER)] = "",
) -> Envelope[str]:
    """Look at the run at once. A callback has no authority: what happened is read from the cluster."""
    secret = request.app.state.settings.callback_secret.get_secret_value()
    body = await request.body()
    if not signatures.valid(secret, body, timestamp, signature):
        raise Unauthorized
    await queries.wake(pool, "watch")
    if (run := _run_of(body)) and await polling.hasten(pool, run):
        await queries.wake(pool, "polling")
    return Envelope(data="heard")


def _run_of(body: bytes) -> str | None:
    """The run that the callback is about."""
    try:
        return Hint.model_validate_json(body).external_job_id
    except ValidationError:
        return None
