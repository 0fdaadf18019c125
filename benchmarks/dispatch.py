"""`dispatch`: how long a committed job takes to reach its cluster, beside Procrastinate and the least it could take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import asyncpg

from benchmarks.brightrun_dispatch import brightrun
from benchmarks.contestant import Burst, Contestant, Latency, at_once, backlog, one_by_one
from benchmarks.floor import floor
from benchmarks.platform import measure_on
from benchmarks.procrastinate_dispatch import peer
from benchmarks.stats import Spread, quantile, ratios
from brightrun.local.engines import Postgres
from brightrun.local.platform import Platform

SERVICES = ("api", "scheduler", "artifacts")
WARM_UP_JOBS = 5
DURABILITY = ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "shared_buffers")
OURS, PEER, FLOOR = "brightrun", "procrastinate", "floor"


@dataclass(frozen=True)
class Plan:
    """How much is measured: in each round, `jobs` one by one, `burst` by several clients, `backlog` in one commit."""

    rounds: int = 5
    jobs: int = 60
    burst: int = 300
    backlog: int = 1000


@dataclass(frozen=True)
class Round:
    """What one contestant did in one round; the floor has no burst and no backlog (jobs that arrive per second)."""

    latencies: Sequence[Latency]
    burst: Burst | None
    backlog: float | None


Rounds = Mapping[str, Sequence[Round]]


def run(broker: str, plan: Plan) -> dict[str, Any]:
    """Start what is needed, measure, print, and return all that was measured."""
    return measure_on(broker, SERVICES, lambda platform: _compare(platform, plan))


async def _compare(platform: Platform, plan: Plan) -> dict[str, Any]:
    async with brightrun(platform) as ours, peer(platform.postgres) as theirs, floor(platform) as least:
        contestants: dict[str, Contestant] = {OURS: ours, PEER: theirs, FLOOR: least}
        for contestant in contestants.values():
            await one_by_one(contestant, WARM_UP_JOBS)
        rounds: dict[str, list[Round]] = {name: [] for name in contestants}
        for _ in range(plan.rounds):
            for name, contestant in contestants.items():
                rounds[name].append(await _round(contestant, plan, many=name != FLOOR))
        summary = summarize(rounds)
        report(summary)
        return {"postgres": await durability(platform.postgres), "summary": summary, **rounds}


async def _round(contestant: Contestant, plan: Plan, many: bool) -> Round:
    latencies = await one_by_one(contestant, plan.jobs)
    if not many:
        return Round(latencies, None, None)
    burst = await at_once(contestant, plan.burst)
    await contestant.settle()
    arrived = await backlog(contestant, plan.backlog)
    await contestant.settle()
    return Round(latencies, burst, arrived)


def summarize(rounds: Rounds) -> dict[str, dict[str, Spread]]:
    """For each figure, each contestant's spread over the rounds, and our multiples of the others, round by round.

    p99 is over the jobs of all rounds together, as one round has too few for it.
    """
    figures: dict[str, dict[str, list[float]]] = {}
    for name, done in rounds.items():
        for start in ("committed", "sent"):
            of_rounds = [[getattr(latency, start) for latency in one.latencies] for one in done]
            figures.setdefault(f"{start} p50 ms", {})[name] = [quantile(latencies, 0.5) for latencies in of_rounds]
            figures.setdefault(f"{start} p99 ms", {})[name] = [quantile(list(chain(*of_rounds)), 0.99)]
        for rate in ("accepted", "arrived"):
            if bursts := [one.burst for one in done if one.burst]:
                figures.setdefault(f"burst {rate} /s", {})[name] = [getattr(burst, rate) for burst in bursts]
        if rates := [one.backlog for one in done if one.backlog]:
            figures.setdefault("backlog arrived /s", {})[name] = rates
    return {figure: _compared(values) for figure, values in figures.items()}


def _compared(values: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    others = {f"÷ {name}": ratios(values[OURS], rounds) for name, rounds in values.items() if name != OURS}
    return {name: Spread.of(rounds) for name, rounds in values.items()} | others


def report(summary: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print a table: median [least–greatest] of the rounds."""
    columns = (OURS, PEER, FLOOR, f"÷ {PEER}", f"÷ {FLOOR}")
    print(f"| {'figure':18} |" + "".join(f" {column:22} |" for column in columns))
    print("|---|" + "---|" * len(columns))
    for figure, spreads in summary.items():
        print(f"| {figure:18} |" + "".join(f" {spreads.get(column, '–')!s:22} |" for column in columns))


async def durability(postgres: Postgres) -> dict[str, str]:
    """The server's settings that decide what a commit costs."""
    connection = await asyncpg.connect(postgres.url("api"))
    try:
        return {name: await connection.fetchval("SELECT current_setting($1)", name) for name in DURABILITY}
    finally:
        await connection.close()
