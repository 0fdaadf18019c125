"""The cluster's callbacks, and a job's place in the queue."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from brightrun.contracts.cluster_api import RunCallback
from brightrun.contracts.events import JobCompleted
from brightrun.contracts.signatures import TOLERANCE_SECONDS, sign
from brightrun.contracts.values import new_id
from brightrun.runtime.tokens import issue
from tests.builders import NOON
from tests.conftest import SECRET
from tests.services.scheduler.conftest import CALLBACK_SECRET, Scheduler

BODY = b'{"external_job_id": "run-1"}'


@pytest_asyncio.fixture
async def client(scheduler: Scheduler) -> AsyncIterator[httpx.AsyncClient]:
    clusters = [SimpleNamespace(name="local", url="http://cluster")]
    async with scheduler.http(
        callback_secret=SecretStr(CALLBACK_SECRET), all_clusters=clusters, quota_gpus=None
    ) as client:
        yield client


@pytest_asyncio.fixture
async def woken(scheduler: Scheduler) -> AsyncIterator[asyncio.Event]:
    """Set when the watcher is woken."""
    woken = asyncio.Event()
    connection = await asyncpg.connect(scheduler.database_url)
    await connection.add_listener("scheduler.watch", lambda *_: woken.set())
    yield woken
    await connection.close()


async def test_a_signed_callback_wakes_the_watcher(client: httpx.AsyncClient, woken: asyncio.Event) -> None:
    answer = await client.post("/callbacks", content=BODY, headers=sign(CALLBACK_SECRET, BODY))
    assert answer.status_code == 202
    await asyncio.wait_for(woken.wait(), 10)


async def test_a_callback_has_only_its_run_polled_at_once(scheduler: Scheduler, client: httpx.AsyncClient) -> None:
    job, other = await scheduler.queue_live(), await scheduler.queue_live()
    await scheduler.pool.execute("UPDATE attempts SET poll_at = now() + interval '1 hour'")
    body = RunCallback(external_job_id=scheduler.cluster.run_of(job), job_id=job.job_id, status="running")
    content = body.model_dump_json().encode()
    signed = sign(CALLBACK_SECRET, content)
    for _ in range(2):
        assert (await client.post("/callbacks", content=content, headers=signed)).status_code == 202
    due = {row["job_id"] for row in await scheduler.pool.fetch("SELECT job_id FROM attempts WHERE poll_at <= now()")}
    assert due == {job.job_id}
    assert other.job_id not in due
    assert await scheduler.recorded(JobCompleted, job) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"external_job_id": null}'])
async def test_a_signed_callback_without_a_run_changes_nothing(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/callbacks", content=body, headers=sign(CALLBACK_SECRET, body))
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        sign("somebody else's secret", BODY),
        sign(CALLBACK_SECRET, b'{"external_job_id": "run-2"}'),
        sign(CALLBACK_SECRET, BODY, int(time.time()) - TOLERANCE_SECONDS - 60),
    ],
    ids=["unsigned", "forged", "of another body", "old"],
)
async def test_an_invalid_signature_is_rejected(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/callbacks", content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_a_user_sees_the_position_of_a_waiting_job_among_all(
    scheduler: Scheduler, client: httpx.AsyncClient
) -> None:
    user = new_id()
    ahead = await scheduler.queue(occurred_at=NOON)
    mine = await scheduler.queue(occurred_at=NOON + timedelta(seconds=1), user_id=user)
    await scheduler.queue(occurred_at=NOON + timedelta(seconds=2), user_id=user)
    assert await _place(client, mine.job_id, user) == 2
    scheduler.cluster.gpus = {"CPU": (8, 1)}
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(ahead) == [1]
    assert await _place(client, mine.job_id, user) == 1
    await scheduler.dispatch()
    assert await _place(client, mine.job_id, user) is None


async def test_another_users_job_has_no_position(scheduler: Scheduler, client: httpx.AsyncClient) -> None:
    job = await scheduler.queue()
    for job_id in (job.job_id, new_id()):
        answer = await client.get(f"/jobs/{job_id}/queue", headers=_token(new_id()))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_position_needs_a_token(scheduler: Scheduler, client: httpx.AsyncClient) -> None:
    job = await scheduler.queue()
    assert (await client.get(f"/jobs/{job.job_id}/queue")).status_code == 401


async def _place(client: httpx.AsyncClient, job_id: UUID, user: UUID) -> int | None:
    answer = await client.get(f"/jobs/{job_id}/queue", headers=_token(user))
    assert answer.status_code == 200
    return answer.json()["data"]["position"]


def _token(user: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {issue(SECRET, 'api', 'scheduler', user)}"}
