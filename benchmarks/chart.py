"""`chart`: the curve of a job with a million points, as its page asks for it, beside MLflow."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

import httpx

from benchmarks.brightrun_dispatch import signed_in
from benchmarks.dispatch import durability
from benchmarks.mlflow_chart import mlflow
from benchmarks.platform import measure_on
from benchmarks.stats import Spread, quantile, ratios
from brightrun.contracts.events import JobProgress
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import MetricPoint
from brightrun.local.platform import Platform
from brightrun.runtime.database import Pool, create_pool, transaction
from brightrun.tracker import actions

SERVICES = ("api", "artifacts", "tracker")
WHOLE, PART = "brightrun", "brightrun zoomed"
SAMPLED, HISTORY = "mlflow sampled", "mlflow get-history"
MAX_POINTS = 2000
POINTS_A_REPORT = 50
REPORTS_AT_ONCE = 200
ZOOM = 40_000
"""Steps: nearly the widest window that is still read point by point, which is our slowest."""


@dataclass(frozen=True)
class Plan:
    """How much is measured: `requests` of each kind in each round, of the peer's whole history one."""

    rounds: int = 5
    points: int = 1_000_000
    requests: int = 20


Rounds = Mapping[str, Sequence[Sequence[float]]]
"""Contestant → round → ms of each request."""

Draw = Callable[[], Awaitable[int]]


def run(broker: str, plan: Plan) -> dict[str, Any]:
    """Start what is needed, measure, print, and return all that was measured."""
    return measure_on(broker, SERVICES, lambda platform: _compare(platform, plan))


async def _compare(platform: Platform, plan: Plan) -> dict[str, Any]:
    losses = _losses(plan.points)
    async with signed_in(platform) as user, mlflow(platform, losses) as theirs:
        job_id = await _train(platform, user.http, user.job, losses)
        draws: dict[str, Draw] = {
            WHOLE: lambda: _draw(user.http, job_id),
            PART: lambda: _draw(user.http, job_id, **{"from": 1 + plan.points // 2, "to": plan.points // 2 + ZOOM}),
            SAMPLED: lambda: theirs.sampled(MAX_POINTS),
            HISTORY: theirs.history,
        }
        for name in (WHOLE, PART, SAMPLED):
            await draws[name]()
        rounds: dict[str, list[list[float]]] = {name: [] for name in draws}
        for _ in range(plan.rounds):
            for name, draw in draws.items():
                rounds[name].append([await _timed(draw) for _ in range(1 if name == HISTORY else plan.requests)])
    summary = summarize(rounds)
    report(summary)
    return {"postgres": await durability(platform.postgres), "summary": summary, **rounds}


def _losses(points: int) -> list[float]:
    """A loss that falls, with noise and a few spikes; of the steps from 1 on."""
    noise = random.Random(1)  # noqa: S311
    falling = [0.9 + 2.4 * math.exp(-4 * step / points) + noise.gauss(0, 0.05) for step in range(1, points + 1)]
    for spike in range(points // 7, points, points // 5):
        falling[spike] += 2
    return falling


async def _train(platform: Platform, http: httpx.AsyncClient, job: Any, losses: Sequence[float]) -> str:
    """A job that has reported `losses`: the reports are handed to the tracker's own code, not sent through Kafka."""
    submitted = (await http.post("/api/jobs", json=job)).raise_for_status().json()["data"]
    user = (await http.get("/api/auth/me")).raise_for_status().json()["data"]["user"]
    reports = [
        _report(UUID(submitted["id"]), UUID(user["id"]), first, losses)
        for first in range(0, len(losses), POINTS_A_REPORT)
    ]
    pool = await create_pool(platform.postgres.url("tracker"), 2)
    for place in range(0, len(reports), REPORTS_AT_ONCE):
        async with transaction(pool) as conn:
            await actions.record_progress(conn, reports[place : place + REPORTS_AT_ONCE])
    await _summarized(pool)
    await pool.close()
    return str(submitted["id"])


def _report(job_id: UUID, user_id: UUID, first: int, losses: Sequence[float]) -> JobProgress:
    steps = range(first + 1, min(first + POINTS_A_REPORT, len(losses)) + 1)
    return JobProgress(
        job_id=job_id,
        user_id=user_id,
        attempt=1,
        seq=1 + first // POINTS_A_REPORT,
        status=JobStatus.RUNNING,
        stage="training",
        percent=min(100.0, 100 * steps[-1] / len(losses)),
        step=steps[-1],
        total_steps=len(losses),
        epoch=1.0,
        total_epochs=1.0,
        trained_tokens=0,
        points=tuple(
            MetricPoint(
                step=step,
                epoch=step / len(losses),
                training_loss=losses[step - 1],
                validation_loss=losses[step - 1] + 0.1 if step % 1000 == 0 else None,
                learning_rate=1e-4,
                gradient_norm=0.5,
                token_accuracy=0.5,
                tokens_per_second=900.0,
                memory_mb=800.0,
            )
            for step in steps
        ),
    )


async def _summarized(pool: Pool) -> None:
    """The tracker's clock has come to all that was reported, and PostgreSQL's to the tables."""
    while await pool.fetchval("SELECT EXISTS (SELECT FROM summaries_due)"):  # noqa: ASYNC110 - another process does it
        await asyncio.sleep(0.2)
    await pool.execute("VACUUM ANALYZE metric_chunks")
    await pool.execute("VACUUM ANALYZE metric_summaries")


async def _draw(http: httpx.AsyncClient, job_id: str, **window: int) -> int:
    params = {"max_points": MAX_POINTS} | window
    answer = await http.get(f"/api/jobs/{job_id}/metrics", params=params)
    return len(answer.raise_for_status().json()["data"]["points"])


async def _timed(draw: Draw) -> float:
    """Ms from asking to having the points as objects."""
    began = time.perf_counter()
    if not await draw():
        raise RuntimeError("there is no curve")
    return round((time.perf_counter() - began) * 1000, 2)


def summarize(rounds: Rounds) -> dict[str, dict[str, Spread]]:
    """Each contestant's spread over the rounds, and our whole curve as a multiple of the peers', round by round."""
    medians = {name: [quantile(requests, 0.5) for requests in done] for name, done in rounds.items()}
    slowest = {name: [max(chain.from_iterable(done))] for name, done in rounds.items()}
    figures = {"p50 ms": medians, "slowest ms": slowest}
    return {figure: _compared(values) for figure, values in figures.items()}


def _compared(values: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    faster = {f"{name} ÷": ratios(values[name], values[WHOLE]) for name in (SAMPLED, HISTORY)}
    return {name: Spread.of(done) for name, done in values.items()} | faster


def report(summary: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print a table: median [least–greatest] of the rounds; ÷ says how many times as long as our whole curve."""
    columns = (WHOLE, PART, SAMPLED, HISTORY, f"{SAMPLED} ÷", f"{HISTORY} ÷")
    print(f"| {'figure':10} |" + "".join(f" {column:22} |" for column in columns))
    print("|---|" + "---|" * len(columns))
    for figure, spreads in summary.items():
        print(f"| {figure:10} |" + "".join(f" {spreads[column]!s:22} |" for column in columns))
