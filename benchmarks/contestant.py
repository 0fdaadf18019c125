"""What is compared, how it is measured, and what comes out."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from typing import Protocol

from benchmarks.ledger import Commits, Ledger

PAUSES_SECONDS = (0.011, 0.023, 0.037)
"""Uneven, so that jobs do not fall into step with anybody's polling."""

CLIENTS = 8


class Contestant(Protocol):
    """A way for a job to reach its worker."""

    @property
    def ledger(self) -> Ledger:
        """When jobs arrived."""

    @property
    def commits(self) -> Commits:
        """When they were committed."""

    async def submit(self) -> str:
        """Hand in one job; returns its key in the ledger once it is committed."""

    async def submit_at_once(self, jobs: int) -> Sequence[str]:
        """Commit as many jobs in one transaction; returns their keys."""

    async def settle(self) -> None:
        """Return when nothing of the earlier jobs is still being worked on."""


@dataclass(frozen=True)
class Latency:
    """One job, in ms: from its commit, and from when its client began to hand it in, to its arrival."""

    committed: float
    sent: float


@dataclass(frozen=True)
class Burst:
    """Jobs per second from the first submission: to the last one's answer, and to the last one's arrival."""

    accepted: float
    arrived: float


async def one_by_one(contestant: Contestant, jobs: int) -> list[Latency]:
    """Each job once the one before has arrived."""
    pauses = cycle(PAUSES_SECONDS)
    return [await _one(contestant, next(pauses)) for _ in range(jobs)]


async def _one(contestant: Contestant, pause: float) -> Latency:
    await asyncio.sleep(pause)
    commit = contestant.commits.expect()
    sent = time.monotonic()
    arrived = await contestant.ledger.arrival(await contestant.submit())
    return Latency(_ms(arrived - await commit), _ms(arrived - sent))


async def at_once(contestant: Contestant, jobs: int) -> Burst:
    """As many jobs as fast as a few clients can hand them in."""
    began = time.monotonic()
    shares = [range(client, jobs, CLIENTS) for client in range(CLIENTS)]
    submitted = await asyncio.gather(*(_several(contestant.submit, len(share)) for share in shares))
    accepted = time.monotonic()
    arrivals = await asyncio.gather(*map(contestant.ledger.arrival, chain.from_iterable(submitted)))
    return Burst(round(jobs / (accepted - began), 1), round(jobs / (max(arrivals) - began), 1))


async def backlog(contestant: Contestant, jobs: int) -> float:
    """Jobs per second that arrive when as many are there at once: from before their commit to the last arrival."""
    began = time.monotonic()
    keys = await contestant.submit_at_once(jobs)
    arrivals = await asyncio.gather(*map(contestant.ledger.arrival, keys))
    return round(jobs / (max(arrivals) - began), 1)


async def _several(submit: Callable[[], Awaitable[str]], jobs: int) -> list[str]:
    return [await submit() for _ in range(jobs)]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
