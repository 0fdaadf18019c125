"""Clusters' callbacks."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from brightrun.contracts import signatures
from brightrun.runtime.database import Db
from brightrun.runtime.errors import Unauthorized
from brightrun.runtime.http import Envelope
from brightrun.runtime.notify import notify
from brightrun.scheduler.observation.queries import poll_at_once

router = APIRouter()


class CallbackHint(BaseModel):
    """What of a callback is read."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    external_job_id: str


@router.post("/callbacks", status_code=202)
async def receive_callback(
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
    await notify(pool, "watch")
    if (run := _run_of(body)) and await poll_at_once(pool, run):
        await notify(pool, "polling")
    return Envelope(data="heard")


def _run_of(body: bytes) -> str | None:
    try:
        return CallbackHint.model_validate_json(body).external_job_id
    except ValidationError:
        return None
