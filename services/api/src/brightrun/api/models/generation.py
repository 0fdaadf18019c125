"""What a tried model says, as the server-sent events that a browser reads."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import ValidationError

from brightrun.contracts.generation import GENERATION_EVENT, Failed, GenerationEvent
from brightrun.contracts.training import JobError

log = structlog.get_logger()
SILENCE_SECONDS = 345.0
"""The longest that is waited for the next word; clusters and the artifacts service give up before."""
BEAT_SECONDS = 15.0
BROKEN = Failed(
    error=JobError(
        code="generation_broken", message="The answer broke off.", advice="Ask again in a moment.", retryable=True
    )
)


async def as_events(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """An event for each line of the answer, the last one `done` or `failed`, and a beat in silences."""
    over = False
    async for line in _beating(_lines(pieces)):
        if line is None:
            yield KEEPALIVE_COMMENT
        elif (said := _read(line)) and not over:
            over = said.kind in ("done", "failed")
            yield _event(said)
    if not over:
        yield _event(BROKEN)


def _read(line: bytes) -> GenerationEvent | None:
    """What is said; None for what is no whole line."""
    try:
        return GENERATION_EVENT.validate_json(line)
    except ValidationError:
        return None


def _event(said: GenerationEvent) -> bytes:
    data = said.model_dump(mode="json", exclude={"kind"})
    return format_sse_event(event=said.kind, data_str=json.dumps(data, ensure_ascii=False))


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    try:
        async for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line
    except httpx.TransportError as error:
        log.warning("generation.broken", error=repr(error))


async def _beating(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """The lines, and None whenever there is none for a while."""
    coming: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            coming = coming or asyncio.create_task(_next(lines))
            done, _ = await asyncio.wait((coming,), timeout=BEAT_SECONDS)
            if not done:
                yield None
                continue
            line, coming = coming.result(), None
            if line is None:
                return
            yield line
    finally:
        if coming:
            coming.cancel()


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)
