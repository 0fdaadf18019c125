"""`gateway`: the whole of `POST /api/jobs` and `GET /api/jobs`, beside the same statements behind bare Starlette."""

import asyncio
import json
import os
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import httpx
import psutil

from benchmarks.bare_gateway import Script, Statement, serving
from benchmarks.brightrun_dispatch import signed_in
from benchmarks.dispatch import durability
from benchmarks.load import Request, latencies_at, rate_of
from benchmarks.platform import measure_on
from benchmarks.stats import Spread, quantile, ratios
from brightrun.api.accounts import token_queries as tokens
from brightrun.api.accounts.rules import digest
from brightrun.api.jobs import queries, submission
from brightrun.api.jobs.models import Job
from brightrun.api.jobs.rules import claim_of
from brightrun.api.jobs.schemas import JobsQuery, SubmitJob
from brightrun.api.main import MIGRATIONS
from brightrun.contracts.values import utc_now
from brightrun.local.platform import Platform
from brightrun.runtime.database import create_pool, migrate

T = TypeVar("T")

SERVICES = ("api", "artifacts")
OURS, BARE, EMPTY = "brightrun", "bare", "empty"
PEERS_ROLE = "notifier"
"""The notifier does not run here: the peer's tables are in its schema."""

SERVERS_CORE, CLIENTS_CORE = 0, 1
CLIENTS = 8
PAGE = 10
SUBMITS_PER_SECOND = 50


@dataclass(frozen=True)
class Plan:
    """How long is measured: `seconds` for each figure, in each round."""

    rounds: int = 5
    seconds: float = 4.0


@dataclass(frozen=True)
class Round:
    """What one contestant did in one round: requests a second at full load, and ms at 50 submissions a second."""

    submits: float
    pages: float
    latencies: Sequence[float]


Rounds = Mapping[str, Sequence[Round]]


def run(broker: str, plan: Plan) -> dict[str, Any]:
    """Start what is needed, measure, print, and return all that was measured."""
    return measure_on(broker, SERVICES, lambda platform: _compare(platform, plan))


async def _compare(platform: Platform, plan: Plan) -> dict[str, Any]:
    async with signed_in(platform) as ours:
        script = await _record(platform, ours.http, ours.job)
        await _copy_for_peer(platform)
        token = ours.http.headers["authorization"].removeprefix("Bearer ")
        ports = {name: platform.installation.port(f"bench.{name}") for name in (BARE, EMPTY)}
        urls = {OURS: platform.api_url} | {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        with ExitStack() as stack:
            for name, port in ports.items():
                stack.enter_context(serving(name, port, SERVERS_CORE, script, platform.postgres.url(PEERS_ROLE)))
            _pin(platform.services["api"].pid)
            await _answering(urls)
            rounds: dict[str, list[Round]] = {name: [] for name in urls}
            for _ in range(plan.rounds):
                for name, url in urls.items():
                    rounds[name].append(await _round(url, token, ours.job, plan.seconds))
                    await _settle(platform)
    summary = summarize(rounds)
    report(summary)
    return {"postgres": await durability(platform.postgres), "summary": summary, **rounds}


async def _round(url: str, token: str, job: Any, seconds: float) -> Round:
    submit = Request.of("POST", f"{url}/api/jobs", token, json.dumps(job).encode())
    page = Request.of("GET", f"{url}/api/jobs?limit={PAGE}", token)
    return Round(
        submits=await rate_of(submit, CLIENTS, seconds),
        pages=await rate_of(page, CLIENTS, seconds),
        latencies=await latencies_at(submit, SUBMITS_PER_SECOND, seconds, CLIENTS),
    )


async def _record(platform: Platform, http: httpx.AsyncClient, job: Any) -> Script:
    """Have our own code carry a submission out and list a page over a connection that notes what it is sent."""
    for _ in range(PAGE):
        answer = (await http.post("/api/jobs", json=job)).json()["data"]
    user_id = UUID((await http.get("/api/auth/me")).json()["data"]["user"]["id"])
    token_sha256 = digest(http.headers["authorization"].removeprefix("Bearer "))
    body = SubmitJob.model_validate(job)
    pool = await create_pool(platform.postgres.url("api"), 1)
    conn: Any = await pool.acquire()
    while not await conn.fetchval("SELECT EXISTS (SELECT FROM datasets)"):  # noqa: ASYNC110 - another process fills it
        await asyncio.sleep(0.1)
    _, [who] = await _noting(conn, tokens.find_by_session(conn, token_sha256))
    for _ in range(2):  # the first time, asyncpg also asks for types that it does not know yet
        await conn.execute("BEGIN")
        job_made, submit = await _noting(conn, _submit(conn, user_id, body))
        await conn.execute("ROLLBACK")
    _, page = await _noting(conn, queries.list_jobs(conn, user_id, dict(JobsQuery()), PAGE, 0))
    await pool.release(conn)
    await pool.close()
    listed = (await http.get(f"/api/jobs?limit={PAGE}")).json()["data"]
    return Script(who=who, submit=submit, page=page, job=answer, jobs=listed, job_id=job_made.id)


async def _submit(conn: Any, user_id: UUID, body: SubmitJob) -> Job:
    """What the gateway does for a submission without a key, of a data set that it knows."""
    request, claim = body.job_request(), claim_of("submit", body, None, utc_now())
    inputs = await submission.fetch_inputs(conn, conn, user_id, request)
    return await submission.record_job(conn, user_id, request, inputs, claim)


async def _noting(conn: Any, work: Awaitable[T]) -> tuple[T, list[Statement]]:
    """What the work returns, and the statements that it sent over the connection."""
    noted: list[Statement] = []
    with conn.query_logger(lambda record: noted.append((record.query, record.args))):
        done = await work
        await asyncio.sleep(0)  # the logger is called in the loop's next turn
    return done, noted


async def _copy_for_peer(platform: Platform) -> None:
    """The peer's tables are made by our migrations and know the user; jobs come with each round's submissions."""
    await migrate(platform.postgres.url(PEERS_ROLE), MIGRATIONS)
    superuser = f"postgres:{platform.installation.secret('postgres.superuser')}@127.0.0.1:{platform.postgres.port}"
    conn = await asyncpg.connect(f"postgresql://{superuser}/brightrun")
    for table in ("users", "sessions", "datasets"):
        await conn.execute(f"INSERT INTO {PEERS_ROLE}.{table} SELECT * FROM api.{table}")  # noqa: S608 - our own names
    await conn.close()


def _pin(pid: int | None) -> None:
    """Put our gateway where its peers are, and the clients elsewhere; PostgreSQL and the broker go where they like."""
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, {SERVERS_CORE})
    os.sched_setaffinity(0, {CLIENTS_CORE})


async def _answering(urls: Mapping[str, str]) -> None:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=8)) as http:
        for url in urls.values():
            await http.get(url)


async def _settle(platform: Platform) -> None:
    """Our relay has sent on what was submitted."""
    conn = await asyncpg.connect(platform.postgres.url("api"))
    while await conn.fetchval("SELECT EXISTS (SELECT FROM outbox)"):  # noqa: ASYNC110 - another process empties it
        await asyncio.sleep(0.1)
    await conn.close()


def summarize(rounds: Rounds) -> dict[str, dict[str, Spread]]:
    """For each figure each contestant's spread over the rounds, and our multiples of the peers, round by round."""
    figures: dict[str, dict[str, list[float]]] = {}
    for name, done in rounds.items():
        figures.setdefault("POST /s", {})[name] = [one.submits for one in done]
        figures.setdefault("GET /s", {})[name] = [one.pages for one in done]
        for q in (0.5, 0.99):
            label = f"POST at {SUBMITS_PER_SECOND}/s p{q * 100:.0f} ms"
            figures.setdefault(label, {})[name] = [quantile(one.latencies, q) for one in done]
        worst = max(chain.from_iterable(one.latencies for one in done))
        figures.setdefault(f"POST at {SUBMITS_PER_SECOND}/s worst ms", {})[name] = [worst]
    return {figure: _compared(values) for figure, values in figures.items()}


def _compared(values: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    others = {f"÷ {name}": ratios(values[OURS], done) for name, done in values.items() if name != OURS}
    return {name: Spread.of(done) for name, done in values.items()} | others


def report(summary: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print a table: median [least–greatest] of the rounds."""
    columns = (OURS, BARE, EMPTY, f"÷ {BARE}", f"÷ {EMPTY}")
    print(f"| {'figure':22} |" + "".join(f" {column:22} |" for column in columns))
    print("|---|" + "---|" * len(columns))
    for figure, spreads in summary.items():
        print(f"| {figure:22} |" + "".join(f" {spreads[column]!s:22} |" for column in columns))
