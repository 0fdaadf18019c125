"""Users share GPUs by weight, under quotas that hold for concurrent schedulers."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from brightrun.contracts.events import JobQueued
from brightrun.contracts.scheduling import Priority
from brightrun.contracts.training import GpuConfig
from brightrun.contracts.values import new_id
from brightrun.runtime.database import transaction
from brightrun.runtime.errors import NotFound
from brightrun.scheduler.queue import actions
from brightrun.scheduler.queue.rules.fairness import MAX_BYPASSES, expected_seconds
from tests.builders import NOON, job_queued
from tests.services.scheduler.conftest import Scheduler

ANNA, BEN = new_id(), new_id()
HOUR = expected_seconds(job_queued())


async def test_a_quota_holds_for_concurrent_schedulers(scheduler: Scheduler) -> None:
    await _set_share(scheduler, ANNA, quota=3)
    jobs = [await scheduler.queue(user_id=ANNA) for _ in range(12)]
    await scheduler.probe()
    schedulers = [scheduler.another() for _ in range(4)]
    await asyncio.gather(*(one.work() for one in schedulers for _ in range(3)))
    await asyncio.gather(*(one.idle() for one in schedulers))
    assert len(_submitted(scheduler, jobs)) == 3


async def test_a_user_without_a_quota_gets_the_settings_quota(scheduler: Scheduler) -> None:
    scheduler.quota_gpus = 1
    scheduler.dispatcher = scheduler.another()
    await _set_share(scheduler, BEN, quota=2)
    hers = [await scheduler.queue(user_id=ANNA) for _ in range(3)]
    his = [await scheduler.queue(user_id=BEN) for _ in range(3)]
    await scheduler.dispatch_all()
    assert (len(_submitted(scheduler, hers)), len(_submitted(scheduler, his))) == (1, 2)


async def test_the_end_of_a_run_frees_the_quota(scheduler: Scheduler) -> None:
    await _set_share(scheduler, ANNA, quota=1)
    first, second = [
        await scheduler.queue(user_id=ANNA, occurred_at=NOON + timedelta(seconds=number)) for number in (1, 2)
    ]
    await scheduler.dispatch_all()
    assert _submitted(scheduler, [first, second]) == [first]
    scheduler.cluster.report(first, "completed")
    await scheduler.watch()
    await scheduler.dispatch()
    assert _submitted(scheduler, [first, second]) == [first, second]


async def test_users_take_turns_in_any_order_of_submission(scheduler: Scheduler) -> None:
    for number in range(4):
        await scheduler.queue(user_id=ANNA, occurred_at=NOON + timedelta(seconds=number))
    for number in range(4):
        await scheduler.queue(user_id=BEN, occurred_at=NOON + timedelta(minutes=1, seconds=number))
    assert await _users_in_order(scheduler) == [ANNA, BEN] * 4


async def test_twice_the_weight_is_twice_the_turns(scheduler: Scheduler) -> None:
    await _set_share(scheduler, ANNA, weight=2)
    for number in range(6):
        await scheduler.queue(user_id=ANNA, occurred_at=NOON + timedelta(seconds=number))
        await scheduler.queue(user_id=BEN, occurred_at=NOON + timedelta(seconds=number))
    assert (await _users_in_order(scheduler))[:6].count(ANNA) == 4


async def test_a_returning_user_joins_the_clock(scheduler: Scheduler) -> None:
    await scheduler.queue(user_id=BEN)
    await scheduler.dispatch_all()
    for number in range(5):
        await scheduler.queue(user_id=ANNA, occurred_at=NOON + timedelta(seconds=number))
        await scheduler.dispatch_all()
    clock = await scheduler.pool.fetchval("SELECT moment FROM virtual_clock")
    assert clock == pytest.approx(4 * HOUR)
    assert await _virtual_time(scheduler, BEN) == pytest.approx(HOUR)
    await scheduler.queue(user_id=BEN)
    assert await _virtual_time(scheduler, BEN) == pytest.approx(clock)


async def test_a_job_that_did_not_start_is_refunded(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.extend(["busy", "unsupported"])
    await scheduler.queue(user_id=ANNA)
    await scheduler.dispatch()
    assert await _virtual_time(scheduler, ANNA) == pytest.approx(0)
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert await _virtual_time(scheduler, ANNA) == pytest.approx(0)


async def test_a_user_is_charged_for_a_runs_actual_time(scheduler: Scheduler) -> None:
    await _set_share(scheduler, ANNA, weight=2)
    job = await scheduler.queue(user_id=ANNA, gpu=GpuConfig(type="CPU", count=4))
    await scheduler.dispatch()
    assert await _virtual_time(scheduler, ANNA) == pytest.approx(4 * HOUR / 2)
    await scheduler.pool.execute("UPDATE attempts SET accepted_at = now() - interval '100 seconds'")
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert await _virtual_time(scheduler, ANNA) == pytest.approx(4 * 100 / 2, rel=0.05)


async def test_a_large_job_is_bypassed_a_limited_number_of_times(scheduler: Scheduler) -> None:
    large = await scheduler.queue(user_id=ANNA, gpu=GpuConfig(type="CPU", count=8))
    small = [await scheduler.queue(user_id=BEN) for _ in range(MAX_BYPASSES + 2)]
    scheduler.cluster.gpus = {"CPU": (8, 1)}
    await scheduler.dispatch_all()
    assert len(_submitted(scheduler, small)) == MAX_BYPASSES
    scheduler.cluster.gpus = {"CPU": (8, 8)}
    await scheduler.dispatch()
    assert _submitted(scheduler, [large]) == [large]


async def test_priorities_order_a_users_own_jobs(scheduler: Scheduler) -> None:
    low, normal, later, high = [
        await scheduler.queue(user_id=ANNA, occurred_at=NOON + timedelta(seconds=number)) for number in range(4)
    ]
    await _set_priority(scheduler, low, "low")
    await _set_priority(scheduler, high, "high")
    assert await _jobs_in_order(scheduler) == [job.job_id for job in (high, normal, later, low)]


async def test_an_urgent_job_goes_before_all_others(scheduler: Scheduler) -> None:
    await _set_priority(scheduler, await scheduler.queue(user_id=BEN), "high")
    first, second = [
        await scheduler.queue(user_id=ANNA, occurred_at=NOON + timedelta(days=number)) for number in (1, 2)
    ]
    await _set_priority(scheduler, second, "urgent")
    order = await _jobs_in_order(scheduler)
    assert order[0] == second.job_id
    assert order[-1] == first.job_id


async def test_an_unknown_job_has_no_priority(scheduler: Scheduler) -> None:
    async with transaction(scheduler.pool) as conn:
        with pytest.raises(NotFound):
            await actions.set_priority(conn, new_id(), "high")


async def _set_priority(scheduler: Scheduler, job: JobQueued, priority: Priority) -> None:
    async with transaction(scheduler.pool) as conn:
        await actions.set_priority(conn, job.job_id, priority)


async def _set_share(scheduler: Scheduler, user: UUID, weight: float = 1, quota: int | None = None) -> None:
    async with transaction(scheduler.pool) as conn:
        await actions.set_share(conn, user, weight, quota)


async def _virtual_time(scheduler: Scheduler, user: UUID) -> float:
    return await scheduler.pool.fetchval("SELECT virtual_time FROM users WHERE user_id = $1", user)


async def _jobs_in_order(scheduler: Scheduler) -> list[UUID]:
    scheduler.cluster.gpus = {"CPU": (8, 1)}
    await scheduler.dispatch_all()
    return [body.job_id for body in scheduler.cluster.submitted]


async def _users_in_order(scheduler: Scheduler) -> list[UUID]:
    order = await _jobs_in_order(scheduler)
    owners = dict(tuple(row) for row in await scheduler.pool.fetch("SELECT job_id, user_id FROM queue"))
    return [owners[job_id] for job_id in order]


def _submitted(scheduler: Scheduler, jobs: list[JobQueued]) -> list[JobQueued]:
    return [job for job in jobs if scheduler.cluster.submissions(job)]
