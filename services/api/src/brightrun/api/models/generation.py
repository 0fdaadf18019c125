"""Generation events of a model, as server-sent events for browsers."""

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
"""The longest wait for the next token; clusters and the artifacts service have shorter ones."""
KEEPALIVE_SECONDS = 15.0
INTERRUPTED = Failed(
    error=JobError(
        code="generation_broken", message="The answer broke off.", advice="Ask again in a moment.", retryable=True
    )
)


async def as_events(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """One event for each line of the response, the last one `done` or `failed`, and keep-alive comments."""
    ended = False
    async for line in _with_keepalives(_lines(pieces)):
        if line is None:
            yield KEEPALIVE_COMMENT
        elif (event := _parse(line)) and not ended:
            ended = event.kind in ("done", "failed")
            yield _format(event)
    if not ended:
        yield _format(INTERRUPTED)


def _parse(line: bytes) -> GenerationEvent | None:
    """The event; None for an incomplete line."""
    try:
        return GENERATION_EVENT.validate_json(line)
    except ValidationError:
        return None


def _format(event: GenerationEvent) -> bytes:
    data = event.model_dump(mode="json", exclude={"kind"})
    return format_sse_event(event=event.kind, data_str=json.dumps(data, ensure_ascii=False))


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    try:
        async for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line
    except httpx.TransportError as error:
        log.warning("generation.interrupted", error=repr(error))


async def _with_keepalives(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """The lines, and None after each KEEPALIVE_SECONDS without one."""
    pending: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            pending = pending or asyncio.create_task(_next(lines))
            done, _ = await asyncio.wait((pending,), timeout=KEEPALIVE_SECONDS)
            if not done:
                yield None
                continue
            line, pending = pending.result(), None
            if line is None:
                return
            yield line
    finally:
        if pending:
            pending.cancel()


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)
