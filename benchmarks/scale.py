"""`scale`: thousands of jobs that train at once on the simulated executor, and what each costs the machine."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from benchmarks.brightrun_dispatch import SignedIn, signed_in
from benchmarks.dispatch import durability
from benchmarks.platform import measure_on
from benchmarks.stats import quantile
from benchmarks.usage import usage_of
from brightrun.contracts.events import JobProgress
from brightrun.contracts.values import utc_now
from brightrun.local.platform import Platform

SERVICES = ("api", "scheduler", "tracker", "artifacts", "notifier", "cluster")
CLIENTS = 8
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 30.0
WARM_UP_SECONDS = 10.0
SAMPLE = 100
"""Runs that speak for all."""

PAUSE_SECONDS = 0.2
WITH_A_CURVE = "SELECT count(DISTINCT job_id) FROM metric_chunks"
IS_STORED = "SELECT EXISTS (SELECT FROM metric_chunks WHERE (job_id, attempt, seq) = ($1, $2, $3))"
ENDLESS = {"max_steps": 1_000_000, "save_steps": 300, "learning_rate": 2e-4, "rank": 8, "batch_size": 1}

Run = tuple[UUID, str]
"""A job and its run on the cluster."""


@dataclass(frozen=True)
class Plan:
    """How much: a tenth of `jobs` first, then all; each trains `speed` steps a second, watched for `seconds`."""

    jobs: int = 10_000
    seconds: float = 30.0
    speed: float = 1.0


@dataclass(frozen=True)
class Stage:
    """What so many running jobs did for a while.

    `started`: seconds from the first job's submission until the last of the stage's jobs trained. `emitted` and
    `stored`: points a second that the cluster reported, and that the tracker has committed. `lags`: seconds from when
    the cluster wrote a report down to when the tracker had committed it; -1 where it had not in half a minute. `cpu`:
    cores that each program used; `memory`: its resident MiB in the end.
    """

    jobs: int
    started: float
    emitted: float
    stored: float
    lags: Sequence[float]
    cpu: Mapping[str, float]
    memory: Mapping[str, float]


def run(broker: str, plan: Plan) -> dict[str, Any]:
    """Start the whole platform in a folder of its own, measure, print, and return all that was measured."""
    os.environ |= {
        "BRIGHTRUN_EXECUTOR": "simulated",
        "BRIGHTRUN_SLOTS": str(plan.jobs),
        "BRIGHTRUN_MAX_LIVE_RUNS": str(plan.jobs),
        "BRIGHTRUN_SIMULATED_STEPS_PER_SECOND": str(plan.speed),
    }
    return measure_on(broker, SERVICES, lambda platform: _measure(platform, plan))


async def _measure(platform: Platform, plan: Plan) -> dict[str, Any]:
    stages: list[Stage] = []
    async with signed_in(platform) as user, _house(platform) as house:
        for jobs in (plan.jobs // 10, plan.jobs):
            began = time.monotonic()
            await _submit(user, jobs - await house.running())
            await house.wait_for(jobs)
            started = time.monotonic() - began
            await asyncio.sleep(WARM_UP_SECONDS)
            stages.append(await _watch(platform, house, jobs, started, plan.seconds))
        report(stages)
    return {"postgres": await durability(platform.postgres), "stages": stages}


async def _submit(user: SignedIn, jobs: int) -> None:
    """Hand in as many endless jobs, with a few clients."""
    body = {**user.job, "preset_id": "custom", "hyperparameters": ENDLESS}
    url, headers = str(user.http.base_url), {"authorization": user.http.headers["authorization"]}
    async with aiohttp.ClientSession(url, headers=headers) as session:

        async def several(count: int) -> None:
            for _ in range(count):
                async with session.post("/api/jobs", json=body) as answer:
                    if not answer.ok:
                        raise RuntimeError(f"POST /api/jobs: {answer.status} {await answer.text()}")

        await asyncio.gather(*(several(len(range(client, jobs, CLIENTS))) for client in range(CLIENTS)))


@dataclass(frozen=True)
class _House:
    """Where to look: the slices of scheduler and tracker, and the cluster."""

    scheduler: "asyncpg.Pool[asyncpg.Record]"
    tracker: "asyncpg.Pool[asyncpg.Record]"
    cluster: aiohttp.ClientSession

    async def running(self) -> int:
        """Jobs that a cluster has."""
        count: int = await self.scheduler.fetchval("SELECT count(*) FROM attempts WHERE state = 'live'")
        return count

    async def wait_for(self, jobs: int) -> None:
        """Return when as many train: each has a curve."""
        while await self.running() < jobs:  # noqa: ASYNC110 - other processes work
            await asyncio.sleep(0.5)
        while await self.tracker.fetchval(WITH_A_CURVE) < jobs:  # noqa: ASYNC110 - other processes work
            await asyncio.sleep(1.0)

    async def choose(self, runs: int) -> Sequence[Run]:
        """Some live runs, at random: their jobs and external ids."""
        rows = await self.scheduler.fetch(
            "SELECT job_id, external_job_id FROM attempts WHERE state = 'live' ORDER BY random() LIMIT $1", runs
        )
        return [(row["job_id"], row["external_job_id"]) for row in rows]

    async def step(self, external_job_id: str) -> int:
        """The step that the cluster shows."""
        async with self.cluster.get(f"/training/status/{external_job_id}") as answer:
            return int((await answer.json())["current_step"])

    async def stored(self) -> int:
        """Points that the tracker has committed."""
        points: int = await self.tracker.fetchval("SELECT sum(length(step) / 8) FROM metric_chunks")
        return points

    async def lag(self, progress: JobProgress) -> float:
        """Seconds from when the cluster wrote the report down to when the tracker has committed it."""
        while not await self.tracker.fetchval(IS_STORED, progress.job_id, progress.attempt, progress.seq):
            if (utc_now() - progress.occurred_at).total_seconds() > PATIENCE_SECONDS:
                return -1.0
            await asyncio.sleep(POLL_SECONDS)
        return round((utc_now() - progress.occurred_at).total_seconds(), 3)


@asynccontextmanager
async def _house(platform: Platform) -> AsyncIterator[_House]:
    key = platform.installation.secret("cluster.key")
    url = f"http://127.0.0.1:{platform.installation.port('cluster')}"
    async with (
        asyncpg.create_pool(platform.postgres.url("scheduler"), min_size=1, max_size=2) as scheduler,
        asyncpg.create_pool(platform.postgres.url("tracker"), min_size=1, max_size=4) as tracker,
        aiohttp.ClientSession(url, headers={"authorization": f"Bearer {key}"}) as cluster,
    ):
        yield _House(scheduler, tracker, cluster)


async def _watch(platform: Platform, house: _House, jobs: int, started: float, seconds: float) -> Stage:
    sample = await house.choose(SAMPLE)
    steps = [await house.step(run) for _, run in sample]
    stored, used, began = await house.stored(), usage_of(platform), time.monotonic()
    lags = await _lags(platform, house, began + seconds)
    passed, used_by_then = time.monotonic() - began, usage_of(platform)
    stored_by_then = await house.stored()
    passed_by_then = time.monotonic() - began
    grown = sum([await house.step(run) for _, run in sample]) - sum(steps)
    return Stage(
        jobs=jobs,
        started=round(started, 1),
        emitted=round(grown / len(sample) * jobs / (time.monotonic() - began), 1),
        stored=round((stored_by_then - stored) / passed_by_then, 1),
        lags=lags,
        cpu={name: round((one.cpu - used[name].cpu) / passed, 3) for name, one in used_by_then.items()},
        memory={name: round(one.memory) for name, one in used_by_then.items()},
    )


async def _lags(platform: Platform, house: _House, end: float) -> list[float]:
    """The lags of reports that come by on one partition of their topic, a few a second."""
    waiting: list[asyncio.Task[float]] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=platform.broker.bootstrap)
    async with consumer:
        partition = TopicPartition(JobProgress.topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        while time.monotonic() < end:
            records = [record for found in (await consumer.getmany(timeout_ms=1000)).values() for record in found]
            with_points = (one for one in map(_progress, reversed(records)) if one.points)
            if newest := next(with_points, None):
                waiting.append(asyncio.create_task(house.lag(newest)))
            await asyncio.sleep(PAUSE_SECONDS)
    return await asyncio.gather(*waiting)


def _progress(record: ConsumerRecord[Any, Any]) -> JobProgress:
    return JobProgress.model_validate_json(record.value)


def report(stages: Sequence[Stage]) -> None:
    """Print what all of it came to, then each program's cores and memory, and its CPU a job and second."""
    for stage in stages:
        known = [lag for lag in stage.lags if lag >= 0]
        print(
            f"{stage.jobs} jobs, all training after {stage.started} s: {stage.emitted} points/s reported,"
            f" {stage.stored} stored; lag p50 {quantile(known, 0.5)} s, p99 {quantile(known, 0.99)} s of {len(known)}"
            f" jobs looked at, {len(stage.lags) - len(known)} not within {PATIENCE_SECONDS:.0f} s"
        )
    print("| program |" + "".join(f" {one.jobs} jobs: cores | MiB | CPU ms a job and s |" for one in stages))
    print("|---|" + "---|---|---|" * len(stages))
    for name in stages[0].cpu:
        cells = (
            f" {one.cpu[name]:.2f} | {one.memory[name]:.0f} | {one.cpu[name] * 1000 / one.jobs:.3f} |" for one in stages
        )
        print(f"| {name} |" + "".join(cells))
