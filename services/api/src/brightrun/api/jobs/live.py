"""Live events of watched jobs: one Kafka consumer for all streams of this process.

A watched job has its newest progress, which replaces the one before, and its last log entries. So a slow client holds
up nobody, and nothing grows: a stream that has missed an entry asks the tracker.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import structlog
from fastapi.sse import format_sse_event
from prometheus_client import Gauge
from pydantic import BaseModel, ConfigDict, ValidationError

from brightrun.api.errors import TooManyStreams
from brightrun.api.jobs import projection
from brightrun.api.jobs.models import Job
from brightrun.api.jobs.schemas import Progress
from brightrun.api.settings import Limits
from brightrun.contracts.events import JobLogged, JobProgress
from brightrun.contracts.values import utc_now

log = structlog.get_logger()
FOLLOWED: dict[str, type[JobProgress | JobLogged]] = {event.topic: event for event in (JobProgress, JobLogged)}
MAX_KEPT_EVENTS = 50
OPEN_STREAMS = Gauge("brightrun_streams", "Streams of jobs that are open.")


@dataclass(frozen=True, slots=True)
class Logged:
    """A log entry in its wire format, and its predecessor."""

    id: int
    previous_id: int
    type: str
    event: bytes


class Watch:
    """A watched job; `changed` is set and replaced whenever something is new."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.changed = asyncio.Event()
        self.watchers = 0
        self._entries: deque[Logged] = deque(maxlen=MAX_KEPT_EVENTS)
        self._pending: deque[JobProgress] = deque(maxlen=MAX_KEPT_EVENTS)
        self._shown: tuple[Job, bytes] | None = None

    def update(self, job: Job) -> None:
        """Replace the job by its stored state, unless newer progress is known."""
        known = self.job
        if known is None or (job != known and (job.state.status.terminal or job.state.order > known.state.order)):
            self.job = job
            while self._pending:
                self.on_event(self._pending.popleft())
            self.wake()

    def on_event(self, event: JobProgress | JobLogged) -> None:
        """Apply an event."""
        if isinstance(event, JobLogged):
            self._entries.append(
                Logged(event.id, event.previous_id, event.type, LogEntry.model_validate(event).event())
            )
        elif self.job is None:
            self._pending.append(event)
        else:
            self.job = projection.apply_event(self.job, event)
        self.wake()

    def entries_after(self, entry_id: int) -> list[Logged] | None:
        """The entries after one; None if some are missing here."""
        found = []
        for entry in self._entries:
            if entry.id > entry_id:
                if entry.previous_id != entry_id:
                    return None
                found.append(entry)
                entry_id = entry.id
        return found

    def progress(self, job: Job) -> bytes:
        """The event `progress`, formatted once for all streams; it has no id, since the next one replaces it."""
        if self._shown is None or self._shown[0] is not job:
            progress = Progress.of(job, utc_now()).model_dump_json()
            self._shown = job, format_sse_event(event="progress", data_str=progress)
        return self._shown[1]

    def wake(self) -> None:
        """Wake every stream of the job."""
        self.changed.set()
        self.changed = asyncio.Event()


class Live:
    """The watched jobs of this process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ended = False
        self._watches: dict[bytes, Watch] = {}
        self._streams: Counter[UUID] = Counter()

    @contextmanager
    def watch(self, user_id: UUID, job_id: UUID) -> Iterator[Watch]:
        """Watch a job while the block runs. Raises TooManyStreams."""
        limits, open_streams = self.limits, self._streams
        if open_streams[user_id] >= limits.streams_per_user or open_streams.total() >= limits.streams:
            raise TooManyStreams
        key = str(job_id).encode()
        watch = self._watches.setdefault(key, Watch())
        watch.watchers += 1
        self._streams[user_id] += 1
        OPEN_STREAMS.set(self._streams.total())
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                del self._watches[key]
            self._streams[user_id] -= 1
            self._streams += Counter()  # drops zeros
            OPEN_STREAMS.set(self._streams.total())

    def on_record(self, topic: str, key: bytes, value: bytes) -> None:
        """Pass a record to the watch of its job; records of other jobs are not decoded."""
        watch = self._watches.get(key)
        if watch is None:
            return
        try:
            watch.on_event(FOLLOWED[topic].model_validate_json(value))
        except ValidationError as error:
            log.warning("stream.undecodable", topic=topic, key=key.decode(), error=str(error))

    def end(self) -> None:
        """End all streams: the process stops."""
        self.ended = True
        for watch in self._watches.values():
            watch.wake()


class LogEntry(BaseModel):
    """A line of the job's log."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    type: str
    level: Literal["info", "warn", "error"]
    message: str
    data: dict[str, Any]
    occurred_at: datetime

    def event(self) -> bytes:
        """As the event `log`, whose id a client sends back to continue."""
        return format_sse_event(event="log", id=str(self.id), data_str=self.model_dump_json())
