"""What jobs tell while somebody watches: Kafka is read once for all streams of this process.

A watched job has its newest progress, which replaces the one before, and its last log entries. So a slow client holds
up nobody, and nothing grows: a stream that has missed an entry asks the tracker.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

import structlog
from fastapi.sse import format_sse_event
from prometheus_client import Gauge
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brightrun.api.http.bodies import Number
from brightrun.api.jobs import projection
from brightrun.api.jobs.errors import TooManyStreams
from brightrun.api.jobs.models import Job
from brightrun.api.jobs.schemas import JobView
from brightrun.contracts.events import JobLogged, JobProgress
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import utc_now

log = structlog.get_logger()
FOLLOWED: dict[str, type[JobProgress | JobLogged]] = {event.topic: event for event in (JobProgress, JobLogged)}
KEPT = 50
STREAMS = 2000
STREAMS_A_USER = 20
OPEN = Gauge("brightrun_streams", "Streams of jobs that are open.")


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry as it is sent, and which one it follows."""

    id: int
    previous_id: int
    type: str
    event: bytes


class Watch:
    """A job that somebody watches; `changed` is set and replaced whenever there is something new."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.changed = asyncio.Event()
        self.watchers = 0
        self._entries: deque[Logged] = deque(maxlen=KEPT)
        self._early: deque[JobProgress] = deque(maxlen=KEPT)
        self._shown: tuple[Job, bytes] | None = None

    def update(self, job: Job) -> None:
        """Take the job as it is stored, unless newer progress has been heard of already."""
        known = self.job
        if known is None or (job != known and (job.state.status.terminal or job.state.order > known.state.order)):
            self.job = job
            while self._early:
                self.on_event(self._early.popleft())
            self.wake()

    def on_event(self, event: JobProgress | JobLogged) -> None:
        """Take what has just happened."""
        if isinstance(event, JobLogged):
            self._entries.append(
                Logged(event.id, event.previous_id, event.type, LogEntry.model_validate(event).event())
            )
        elif self.job is None:
            self._early.append(event)
        else:
            self.job = projection.apply_event(self.job, event)
        self.wake()

    def entries_after(self, entry_id: int) -> list[Logged] | None:
        """What was logged after an entry; None where some of it is not known here."""
        found = []
        for entry in self._entries:
            if entry.id > entry_id:
                if entry.previous_id != entry_id:
                    return None
                found.append(entry)
                entry_id = entry.id
        return found

    def progress(self, job: Job) -> bytes:
        """How far the job is, put into words once for all who watch it."""
        if self._shown is None or self._shown[0] is not job:
            self._shown = job, Progress.of(job, utc_now()).event()
        return self._shown[1]

    def wake(self) -> None:
        """Let every stream of the job look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Live:
    """The jobs that are watched through this process, until `ended`."""

    def __init__(self) -> None:
        self.ended = False
        self._watches: dict[bytes, Watch] = {}
        self._streams: Counter[UUID] = Counter()

    @contextmanager
    def watch(self, user_id: UUID, job_id: UUID) -> Iterator[Watch]:
        """Hear of a job while the block runs; raises `TooManyStreams`."""
        if self._streams[user_id] >= STREAMS_A_USER or self._streams.total() >= STREAMS:
            raise TooManyStreams
        key = str(job_id).encode()
        watch = self._watches.setdefault(key, Watch())
        watch.watchers += 1
        self._streams[user_id] += 1
        OPEN.set(self._streams.total())
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                del self._watches[key]
            self._streams[user_id] -= 1
            self._streams += Counter()  # without those that are down to none
            OPEN.set(self._streams.total())

    def on_record(self, topic: str, key: bytes, value: bytes) -> None:
        """Pass a record on to those who watch its job; clients are not even decoded."""
        watch = self._watches.get(key)
        if watch is None:
            return
        try:
            watch.on_event(FOLLOWED[topic].model_validate_json(value))
        except ValidationError as error:
            log.warning("stream.undecodable", topic=topic, key=key.decode(), error=str(error))

    def end(self) -> None:
        """Let all streams end: the process stops."""
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
        """As the event `log`, whose id a client sends back to go on from there."""
        return format_sse_event(event="log", id=str(self.id), data_str=self.model_dump_json())


class Progress(BaseModel):
    """How far the job is, in the words of the job itself; money in USD."""

    model_config = ConfigDict(from_attributes=True)

    status: JobStatus
    current_stage: str
    progress: float = Field(description="percent")
    current_epoch: float
    total_epochs: float
    current_step: int
    total_steps: int
    current_metrics: dict[str, float]
    eta_seconds: float | None
    trained_tokens: int
    current_cost: Number

    @classmethod
    def of(cls, job: Job, now: datetime) -> Self:
        """The job at a moment, which decides what it has cost."""
        return cls.model_validate(JobView.of(job, now))

    def event(self) -> bytes:
        """As the event `progress`, which has no id: the next one makes up for a lost one."""
        return format_sse_event(event="progress", data_str=self.model_dump_json())
