"""The stream of one job to one client."""

import asyncio
import time
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from brightrun.api.accounts.authentication import Reader
from brightrun.api.errors import TooManyStreams
from brightrun.api.http.clients import Tracker
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import WHOLE_NUMBER, Clients, from_state
from brightrun.api.jobs import queries
from brightrun.api.jobs.actions import get_job
from brightrun.api.jobs.live import Live, LogEntry, Logged, Watch
from brightrun.api.jobs.models import Job
from brightrun.contracts.job_status import TERMINAL, JobStatus
from brightrun.runtime.database import DATABASE_DOWN, Db, Pool
from brightrun.runtime.errors import Unavailable
from brightrun.runtime.http import BoundedRoute

log = structlog.get_logger()
RECONNECT_MS = 1000
PAGE = 100


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a stream besides live events."""

    pool: Pool
    tracker: Tracker
    user_id: UUID
    job_id: UUID

    async def job(self) -> Job | None:
        """The stored job."""
        return await queries.find_job(self.pool, self.user_id, self.job_id)

    async def log(self, after: int) -> list[Logged]:
        """The log entries after one."""
        found: list[Logged] = []
        full = True
        while full:
            page = await self.tracker.list_events(self.user_id, self.job_id, after=after, limit=PAGE)
            for entry in map(LogEntry.model_validate, page):
                found.append(Logged(entry.id, after, entry.type, entry.event()))
                after = entry.id
            full = len(page) == PAGE
        return found


class JobStream:
    """Every log entry after one, once and in order, and progress.

    Entries arrive with the events that wake the stream. Missing ones are fetched from the tracker: at the start, after
    a gap, and with each keep-alive. The stream ends with the log, and after `stream_seconds`, so that the client
    reconnects with its last id and its token is checked again.
    """

    def __init__(self, live: Live, watch: Watch, sources: Sources, after: int) -> None:
        self._live = live
        self._limits = live.limits
        self._watch = watch
        self._sources = sources
        self._last_id = after
        self._types: set[str] = set()
        self._opened = self._deleted = False
        self._has_gap = True
        self._waiting: list[Logged] = []
        self._sent_job: Job | None = None
        self._next_refresh = self._next_progress = 0.0
        self._ends = time.monotonic() + self._limits.stream_seconds

    async def open(self) -> bool:
        """Read the log so far; False if it is complete and the client has all of it."""
        await self._refresh()
        return bool(self._waiting) or not self._complete

    async def events(self) -> AsyncIterator[bytes]:
        """The stream's bytes."""
        yield format_sse_event(retry=RECONNECT_MS)
        while True:
            changed = self._watch.changed
            for event in await self._collect():
                yield event
            if self._complete or self._live.ended or time.monotonic() >= self._ends:
                return
            await self._pause(changed)

    @property
    def _complete(self) -> bool:
        return self._deleted or is_complete(self._types)

    async def _collect(self) -> list[bytes]:
        events = []
        if not self._has_gap:
            self._take_entries()
        if time.monotonic() >= self._next_refresh:
            await self._refresh()
            events.append(KEEPALIVE_COMMENT)
        if any(changes_costs(entry.type) for entry in self._waiting):
            await self._reload_job()
        for entry in self._waiting:
            self._last_id = entry.id
            self._types.add(entry.type)
            events.append(entry.event)
        self._waiting = []
        return [*events, *self._progress()]

    def _take_entries(self) -> None:
        entries = self._watch.entries_after(self._waiting[-1].id if self._waiting else self._last_id)
        if entries is None:
            self._has_gap = True
            self._next_refresh = 0.0
        else:
            self._waiting += entries

    async def _refresh(self) -> None:
        """Fetch missing entries and the job; on errors, again after `retry_seconds`."""
        self._next_refresh = time.monotonic() + self._limits.retry_seconds
        try:
            logged = await self._sources.log(self._last_id if self._opened else 0)
            job = await self._sources.job()
        except (Unavailable, *DATABASE_DOWN) as error:
            log.warning("stream.sources_unavailable", job_id=str(self._sources.job_id), error=repr(error))
            return
        self._next_refresh = time.monotonic() + self._limits.keepalive_seconds
        self._has_gap = False
        if not self._opened:
            self._opened = True
            self._last_id = min(self._last_id, logged[-1].id if logged else 0)
            self._types = {entry.type for entry in logged if entry.id <= self._last_id}
        self._waiting = [entry for entry in logged if entry.id > self._last_id]
        self._deleted = job is None
        if job:
            self._watch.update(job)

    async def _reload_job(self) -> None:
        with suppress(*DATABASE_DOWN):
            if job := await self._sources.job():
                self._watch.update(job)

    def _progress(self) -> list[bytes]:
        """The newest progress, at most one each `progress_seconds`."""
        job, now = self._watch.job, time.monotonic()
        if job is None or job is self._sent_job or (now < self._next_progress and not self._complete):
            return []
        self._sent_job, self._next_progress = job, now + self._limits.progress_seconds
        return [self._watch.progress(job)]

    async def _pause(self, changed: asyncio.Event) -> None:
        until = min(self._next_refresh, self._ends)
        if self._watch.job is not self._sent_job:
            until = min(until, self._next_progress)
        with suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                await changed.wait()


STORED = "artifact_ready"
INTERRUPTIONS = ("paused", "resumed", "attempt_lost")


def changes_costs(entry_type: str) -> bool:
    """Whether such an entry starts or stops costs, which progress does not report."""
    return entry_type in (STORED, *INTERRUPTIONS) or entry_type in TERMINAL


def is_complete(entry_types: AbstractSet[str]) -> bool:
    """Whether a log with these entries is complete; that of a completed job ends when its model is stored."""
    return bool(entry_types & (TERMINAL - {JobStatus.COMPLETED})) or {JobStatus.COMPLETED, STORED} <= entry_types


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
EntryId = Annotated[int, Query(ge=0, le=2**63 - 1), WHOLE_NUMBER]


LiveJobs = Annotated[Live, from_state("live")]


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
    last_event_id: Annotated[
        int | None, Header(ge=0, le=2**63 - 1, description="instead of `after`"), WHOLE_NUMBER
    ] = None,
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
