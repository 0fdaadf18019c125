"""Ours: `POST /api/jobs` to the cluster's receipt of the submission."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import httpx

from benchmarks import cluster
from benchmarks.ledger import Commits, Ledger, commits_on
from brightrun.contracts.events import JobQueued
from brightrun.contracts.values import new_id, utc_now
from brightrun.local.platform import Platform
from brightrun.runtime import outbox

SAMPLE = Path(__file__).parents[1] / "local/sample/conversations.jsonl"
EXAMPLES = 20
POLL_SECONDS = 0.1
UNANSWERED = "SELECT EXISTS (SELECT FROM attempts WHERE state = 'submitting') OR EXISTS (SELECT FROM outbox)"


@dataclass(frozen=True)
class SignedIn:
    """A user with a token and a data set."""

    http: httpx.AsyncClient
    dataset_id: str

    @property
    def job(self) -> dict[str, Any]:
        """A job of the smallest kind."""
        return {"dataset_id": self.dataset_id, "preset_id": "fast", "gpu_config": {"type": "CPU", "count": 1}}


@dataclass(frozen=True)
class BrightRun:
    """A signed-in user, and a cluster that only listens."""

    user: SignedIn
    ledger: Ledger
    commits: Commits
    api: aiohttp.ClientSession
    database_urls: Mapping[str, str]

    async def submit(self) -> str:
        """Hand in a job."""
        async with self.api.post("/api/jobs", json=self.user.job) as answer:
            submitted = await answer.json()
            if not answer.ok:
                raise RuntimeError(f"POST /api/jobs: {answer.status} {submitted}")
        return str(submitted["data"]["id"])

    async def submit_at_once(self, jobs: int) -> Sequence[str]:
        """Jobs like an earlier one, put into the gateway's outbox as it would."""
        async with _connected(self.database_urls["scheduler"]) as conn:
            known = await conn.fetchval("SELECT job::text FROM queue LIMIT 1")
        fresh = [
            JobQueued.model_validate_json(known).model_copy(
                update={"job_id": new_id(), "event_id": new_id(), "occurred_at": utc_now()}
            )
            for _ in range(jobs)
        ]
        async with _connected(self.database_urls["api"]) as conn:
            await outbox.add(conn, *fresh)
        return [str(job.job_id) for job in fresh]

    async def settle(self) -> None:
        """Every job's start has come back to the api."""
        await _until(lambda page: page["pagination"]["total"] == 0, self.user.http, "/api/jobs?status=queued&limit=1")
        async with _connected(self.database_urls["scheduler"]) as scheduler:
            while await scheduler.fetchval(UNANSWERED):  # noqa: ASYNC110 - it is another process that answers
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def brightrun(platform: Platform) -> AsyncIterator[BrightRun]:
    """Ready to be measured on a running platform without a cluster."""
    ledger = Ledger()
    async with (
        cluster.serving(ledger, platform.installation.port("cluster")),
        signed_in(platform) as user,
        commits_on("api.outbox", platform.postgres.url("api")) as commits,
        aiohttp.ClientSession(platform.api_url, headers={"authorization": user.http.headers["authorization"]}) as api,
    ):
        urls = {name: platform.postgres.url(name) for name in ("api", "scheduler")}
        yield BrightRun(user, ledger, commits, api, urls)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def signed_in(platform: Platform) -> AsyncIterator[SignedIn]:
    """A new user whose data set may be trained on."""
    async with httpx.AsyncClient(base_url=platform.api_url, timeout=30) as http:
        account = {"email": "bench@example.com", "password": platform.installation.secret("bench.password")}
        token = _data(await http.post("/api/auth/register", json=account))["token"]
        http.headers["authorization"] = f"Bearer {token}"
        yield SignedIn(http, await _upload(http))


async def _upload(http: httpx.AsyncClient) -> str:
    """Upload a small data set and wait until it may be trained on."""
    content = "".join(SAMPLE.read_text().splitlines(keepends=True)[:EXAMPLES])
    headers = {"content-type": "application/jsonl"}
    dataset = _data(await http.post("/api/datasets?name=bench", content=content, headers=headers))
    await _until(lambda found: found["status"] == "ready", http, f"/api/datasets/{dataset['id']}")
    return str(dataset["id"])


async def _until(holds: Callable[[Any], bool], http: httpx.AsyncClient, path: str) -> None:
    found = _data(await http.get(path))
    while not holds(found):
        await asyncio.sleep(POLL_SECONDS)
        found = _data(await http.get(path))


def _data(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise RuntimeError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer.json()["data"]
