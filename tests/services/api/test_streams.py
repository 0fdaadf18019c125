"""A job's stream: every entry once and in order, progress as it comes, and never more than a client can take."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from brightrun.api import loops
from brightrun.api.jobs import live
from brightrun.api.jobs import stream as streams
from brightrun.contracts.events import JobLogged, JobProgress
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.builders import NOON, artifact_ready, job_completed, job_logged, job_progress
from tests.services.api.conftest import User, limit
from tests.services.api.fakes import FakeTracker
from tests.services.api.test_jobs import queued_job
from tests.services.slices import deliver, serve
from tests.waiting import eventually

Event = dict[str, Any]


class Listener:
    """A client that has opened a stream and reads it event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.comments = 0
        self._lines = answer.aiter_lines()

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream. Comments and the reconnection time are passed over."""
        event: Event = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                event[name] = json.loads(value) if name == "data" else value
            elif "data" in event:
                return event
            else:
                event = {}
        return None

    async def until(self, last: Callable[[Event], bool]) -> list[Event]:
        """The events up to the first that is `last`; fails when the stream ends before."""
        events = []
        async with asyncio.timeout(10):
            while event := await self.next():
                events.append(event)
                if last(event):
                    return events
        raise AssertionError(f"the stream ended after {events}")

    async def rest(self) -> list[Event]:
        """The events up to the end."""
        events = []
        async with asyncio.timeout(10):
            while event := await self.next():
                events.append(event)
        return events


class Log:
    """A job's log as the tracker keeps it and as Kafka tells of it."""

    def __init__(self, app: FastAPI, tracker: FakeTracker, user: User, job_id: str) -> None:
        self._live: live.Live = app.state.live
        self._tracker = tracker
        self.whose = {"job_id": UUID(job_id), "user_id": user.id}
        tracker.entries = []

    def write(self, entry_type: str = "stage_changed", **data: Any) -> JobLogged:
        """Let the tracker have one more entry, of which nobody has published yet."""
        last = self._tracker.entries[-1]["id"] if self._tracker.entries else 0
        event = job_logged(id=last + 3, previous_id=last, type=entry_type, data=data, occurred_at=NOON, **self.whose)
        entry = event.model_dump(mode="json", include={"id", "type", "level", "message", "data", "occurred_at"})
        self._tracker.entries.append(entry)
        return event

    def tell(self, *events: JobLogged | JobProgress) -> None:
        """Let Kafka tell of events."""
        for event in events:
            self._live.on_record(event.topic, event.key.encode(), event.model_dump_json().encode())

    def log(self, entry_type: str = "stage_changed", **data: Any) -> JobLogged:
        """Both."""
        event = self.write(entry_type, **data)
        self.tell(event)
        return event


Listen = Callable[..., AbstractAsyncContextManager[Listener]]


@pytest.fixture(autouse=True)
def _hurry(app: FastAPI) -> None:
    limit(app, progress_seconds=0.01)


@pytest_asyncio.fixture
async def served(app: FastAPI) -> AsyncIterator[str]:
    async with serve(app) as url:
        yield url


@pytest_asyncio.fixture
async def job(ada: User, pool: Pool) -> dict[str, Any]:
    return await queued_job(pool, ada)


@pytest.fixture
def log(app: FastAPI, tracker: FakeTracker, ada: User, job: dict[str, Any]) -> Log:
    return Log(app, tracker, ada, job["id"])


@pytest.fixture
def listen(served: str, ada: User, job: dict[str, Any]) -> Listen:
    @asynccontextmanager
    async def open_stream(last_id: object = None, **params: object) -> AsyncIterator[Listener]:
        headers = {"authorization": ada.headers["authorization"]}
        if last_id is not None:
            headers["last-event-id"] = str(last_id)
        url = f"/api/jobs/{job['id']}/events/stream"
        async with (
            httpx.AsyncClient(base_url=served, timeout=10) as client,
            client.stream("GET", url, headers=headers, params=params) as answer,
        ):
            if not answer.is_success:
                await answer.aread()
            yield Listener(answer)

    return open_stream


def is_log(event: Event) -> bool:
    return event["event"] == "log"


def is_progress(event: Event) -> bool:
    return event["event"] == "progress"


def ids(events: list[Event]) -> list[int]:
    return [int(event["id"]) for event in events if is_log(event)]


async def test_a_stream_has_past_current_and_new_entries(log: Log, listen: Listen) -> None:
    queued = log.log("queued", training_pairs=240)
    async with listen() as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        first, now = await stream.until(is_progress)
        assert first["id"] == str(queued.id)
        assert first["data"] == {
            "id": queued.id,
            "type": "queued",
            "level": "info",
            "message": "Queued.",
            "data": {"training_pairs": 240},
            "occurred_at": "2026-11-24T12:00:00Z",
        }
        assert (now["data"]["status"], now["data"]["progress"], now.get("id")) == ("queued", 0, None)
        started = log.log("started")
        assert ids(await stream.until(is_log)) == [started.id]
        point = MetricPoint(step=9, epoch=0.1, training_loss=1.5, learning_rate=1e-4)
        log.tell(job_progress(seq=2, step=9, percent=10, eta_seconds=80, points=(point,), **log.whose))
        [published] = await stream.until(is_progress)
        received = published["data"]
        assert (received["status"], received["current_stage"], received["progress"]) == ("running", "training", 10)
        assert (received["current_step"], received["total_steps"], received["eta_seconds"]) == (9, 90, 80)
        assert (received["current_metrics"], received["current_cost"] > 0) == (
            {"training_loss": 1.5, "learning_rate": 1e-4},
            True,
        )


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(
    log: Log, listen: Listen, how: str
) -> None:
    first, second = log.log("queued"), log.log("started")
    async with listen() as stream:
        assert ids(await stream.until(is_progress)) == [first.id, second.id]
    third = log.log()
    async with listen(second.id) if how == "header" else listen(after=second.id) as stream:
        assert ids(await stream.until(is_progress)) == [third.id]
        log.tell(second, third)
        fourth = log.log()
        assert ids(await stream.until(is_log)) == [fourth.id]


async def test_the_id_that_a_browser_sends_counts_for_more_than_the_query(log: Log, listen: Listen) -> None:
    entries = [log.log() for _ in range(3)]
    async with listen(entries[1].id, after=0) as stream:
        assert ids(await stream.until(is_progress)) == [entries[2].id]


async def test_an_id_from_nowhere_replays_nothing_and_misses_nothing(log: Log, listen: Listen) -> None:
    log.log("queued")
    async with listen(10**6) as stream:
        assert ids(await stream.until(is_progress)) == []
        entry = log.log()
        assert ids(await stream.until(is_log)) == [entry.id]


async def test_a_missing_predecessor_is_fetched_before_its_entry(log: Log, listen: Listen) -> None:
    log.log("queued")
    async with listen() as stream:
        await stream.until(is_progress)
        unpublished = [log.write(), log.write()]
        published = log.log()
        assert ids(await stream.until(lambda event: event.get("id") == str(published.id))) == [
            *(entry.id for entry in unpublished),
            published.id,
        ]


async def test_an_entry_published_while_the_log_is_read_is_sent_once(
    log: Log, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = log.write("queued")
    read = streams.Sources.log

    async def read_and_hear(sources: streams.Sources, after: int) -> list[live.Logged]:
        found = await read(sources, after)
        log.tell(first)
        return found

    monkeypatch.setattr(streams.Sources, "log", read_and_hear)
    async with listen() as client:
        last = log.log()
        events = await client.until(lambda event: event.get("id") == str(last.id))
    assert ids(events) == [first.id, last.id]


async def test_an_entry_that_kafka_lost_is_sent_with_the_next_keepalive(log: Log, listen: Listen, app: FastAPI) -> None:
    limit(app, keepalive_seconds=0.05)
    log.log("queued")
    async with listen() as stream:
        await stream.until(is_progress)
        unpublished = log.write()
        assert ids(await stream.until(is_log)) == [unpublished.id]
        assert stream.comments > 0


async def test_keepalive_comments_keep_a_quiet_stream_open(log: Log, listen: Listen, app: FastAPI) -> None:
    limit(app, keepalive_seconds=0.02)
    async with listen() as stream:
        await stream.until(is_progress)
        reading = asyncio.create_task(stream.next())

        async def kept() -> bool:
            return stream.comments >= 3

        await eventually(kept)
        entry = log.log()
        assert ids([await reading or {}]) == [entry.id]


async def test_a_log_longer_than_the_buffer_is_sent_whole(log: Log, listen: Listen) -> None:
    log.log("queued")
    async with listen() as stream:
        await stream.until(is_progress)
        burst = [log.write() for _ in range(250)]
        log.tell(*burst)
        assert ids(await stream.until(lambda event: event.get("id") == str(burst[-1].id))) == [
            entry.id for entry in burst
        ]


async def test_a_slow_client_gets_the_newest_progress_with_all_metrics(log: Log, listen: Listen) -> None:
    async with listen() as stream:
        await stream.until(is_progress)
        validated = MetricPoint(step=1, epoch=0, training_loss=9.0, validation_loss=3.25)
        log.tell(job_progress(seq=1, points=(validated,), **log.whose))
        log.tell(*(job_progress(seq=seq, step=seq, **log.whose) for seq in range(2, 500)))
        received = await stream.until(lambda event: event["data"].get("current_step") == 499)
        assert len(received) < 50
        assert received[-1]["data"]["current_metrics"]["validation_loss"] == 3.25
        assert received[-1]["data"]["current_metrics"]["training_loss"] == 2.0


async def test_older_progress_changes_nothing(log: Log, listen: Listen) -> None:
    async with listen() as stream:
        await stream.until(is_progress)
        log.tell(job_progress(seq=5, step=50, **log.whose), job_progress(seq=4, step=40, **log.whose))
        received = (await stream.until(is_progress))[-1]
        assert received["data"]["current_step"] == 50


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_a_stream_ends_with_its_job(log: Log, listen: Listen, pool: Pool, ending: str) -> None:
    log.log("queued")
    async with listen() as stream:
        await stream.until(is_progress)
        done = job_completed(outcome=JobStatus(ending), **log.whose)
        await deliver("api", pool, done)
        entry = log.log(ending)
        last = await stream.rest()
        assert ids(last) == [entry.id]
        assert (last[-1]["event"], last[-1]["data"]["status"]) == ("progress", ending)
        assert last[-1]["data"]["current_cost"] == 0.0025


async def test_a_completed_jobs_stream_ends_when_its_model_is_stored(log: Log, listen: Listen, pool: Pool) -> None:
    log.log("queued")
    async with listen() as stream:
        await stream.until(is_progress)
        await deliver("api", pool, job_completed(**log.whose))
        completed = log.log("completed")
        assert ids(await stream.until(is_progress)) == [completed.id]
        await deliver("api", pool, artifact_ready(**log.whose))
        stored = log.log("artifact_ready")
        last = await stream.rest()
        assert ids(last) == [stored.id]
        assert (last[-1]["data"]["status"], last[-1]["data"]["current_cost"]) == ("completed", 0.5025)


async def test_a_client_with_the_whole_log_of_a_finished_job_gets_204(log: Log, listen: Listen) -> None:
    log.log("artifact_ready")
    last = log.log("completed")
    async with listen() as stream:
        assert len(ids(await stream.rest())) == 2
    async with listen(last.id) as stream:
        assert stream.answer.status_code == 204
    async with listen(last.id - 3) as stream:
        assert ids(await stream.rest()) == [last.id]


async def test_a_deleted_jobs_stream_ends(log: Log, listen: Listen, pool: Pool, app: FastAPI) -> None:
    limit(app, keepalive_seconds=0.05)
    async with listen() as stream:
        await stream.until(is_progress)
        await pool.execute("DELETE FROM jobs WHERE id = $1", log.whose["job_id"])
        await stream.rest()


async def test_a_stream_continues_while_the_tracker_is_unavailable(
    log: Log, listen: Listen, tracker: FakeTracker, app: FastAPI
) -> None:
    limit(app, retry_seconds=0.05)
    tracker.unavailable = True
    unpublished, published = log.write("queued"), log.write("started")
    async with listen() as stream:
        log.tell(published)
        log.tell(job_progress(seq=3, step=30, **log.whose))
        tracker.unavailable = False
        received = await stream.until(lambda event: event.get("id") == str(published.id))
        assert ids(received) == [unpublished.id, published.id]


async def test_a_stream_ends_after_its_maximum_duration(log: Log, listen: Listen, app: FastAPI) -> None:
    limit(app, stream_seconds=0.1)
    entry = log.log("queued")
    async with listen() as stream:
        assert ids(await stream.rest()) == [entry.id]


async def test_streams_end_when_the_gateway_stops(app: FastAPI, log: Log, listen: Listen) -> None:
    log.log("queued")
    watching = asyncio.create_task(loops.end_streams(app.state.stopping, app.state.live))
    async with listen() as stream:
        await stream.until(is_progress)
        app.state.stopping.set()
        assert await stream.rest() == []
    await watching


async def test_a_user_has_so_many_streams_at_a_time(app: FastAPI, log: Log, listen: Listen) -> None:
    log.log("queued")
    limit(app, streams_per_user=2)
    async with listen() as first, listen() as second:
        assert (first.answer.status_code, second.answer.status_code) == (200, 200)
        async with listen() as third:
            assert (third.answer.status_code, third.answer.json()["code"]) == (429, "too_many_streams")
            assert third.answer.headers["retry-after"]
    assert await eventually(lambda: nobody_watches(app))
    async with listen() as again:
        assert again.answer.status_code == 200


async def nobody_watches(app: FastAPI) -> bool:
    return not app.state.live._watches and not app.state.live._streams


async def test_a_disconnected_client_is_removed(app: FastAPI, log: Log, listen: Listen) -> None:
    async with listen() as stream:
        await stream.until(is_progress)
        assert not await nobody_watches(app)
    assert await eventually(lambda: nobody_watches(app))
    log.tell(job_progress(**log.whose))


async def test_an_undecodable_record_is_skipped(app: FastAPI, log: Log, listen: Listen) -> None:
    async with listen() as stream:
        await stream.until(is_progress)
        key = str(log.whose["job_id"]).encode()
        app.state.live.on_record("job.progress", key, b"{")
        app.state.live.on_record("job.logged", key, b"{}")
        app.state.live.on_record("job.progress", b"somebody else's", b"{")
        app.state.live.on_record("job.progress", None, b"{")
        log.tell(job_progress(seq=1, step=7, **log.whose))
        assert (await stream.until(is_progress))[-1]["data"]["current_step"] == 7


@pytest.mark.parametrize("last_id", ["-1", "x", str(2**63), "8;9"])
async def test_an_invalid_event_id_is_rejected(listen: Listen, last_id: str) -> None:
    async with listen(last_id) as stream:
        assert stream.answer.status_code == 400
        assert list(stream.answer.json()["details"]) == ["last-event-id"]


@pytest.mark.parametrize("path", ["events/stream", "checkpoints"])
async def test_a_job_of_somebody_else_does_not_exist(eve: User, job: dict[str, Any], path: str) -> None:
    foreign = await eve.get(f"/api/jobs/{job['id']}/{path}")
    unknown = await eve.get(f"/api/jobs/{new_id()}/{path}")
    assert (foreign.status_code, foreign.json()) == (404, unknown.json())
