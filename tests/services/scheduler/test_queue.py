"""Who is submitted next."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from brightrun.contracts.events import JobStarted
from brightrun.contracts.training import GpuConfig
from brightrun.runtime.database import transaction
from brightrun.scheduler.coordination import lock_queue
from brightrun.scheduler.submission import actions
from brightrun.scheduler.submission.models import Lease
from tests.builders import NOON
from tests.services.scheduler.conftest import Scheduler


async def test_a_redelivered_job_is_queued_once(scheduler: Scheduler) -> None:
    job = await scheduler.queue()
    await scheduler.deliver(job)
    assert await scheduler.dispatch()
    await scheduler.deliver(job)
    assert not await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1]
    assert len(await scheduler.recorded(JobStarted, job)) == 1


async def test_jobs_are_submitted_first_come_first_served(scheduler: Scheduler) -> None:
    third, first, second = [
        await scheduler.queue(occurred_at=NOON + timedelta(seconds=seconds)) for seconds in (3, 1, 2)
    ]
    await scheduler.dispatch_all()
    assert [body.job_id for body in scheduler.cluster.submitted] == [first.job_id, second.job_id, third.job_id]


async def test_a_job_that_does_not_fit_waits_and_a_smaller_one_goes_ahead(scheduler: Scheduler) -> None:
    scheduler.cluster.gpus = {"CPU": (8, 2)}
    large = await scheduler.queue(occurred_at=NOON, gpu=GpuConfig(type="CPU", count=4))
    small = await scheduler.queue(occurred_at=NOON + timedelta(seconds=1), gpu=GpuConfig(type="CPU", count=2))
    await scheduler.dispatch_all()
    assert scheduler.cluster.submissions(small) == [1]
    assert scheduler.cluster.submissions(large) == []

    scheduler.cluster.gpus = {"CPU": (8, 4)}
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(large) == [1]


async def test_concurrent_schedulers_submit_each_job_once(scheduler: Scheduler) -> None:
    jobs = [await scheduler.queue() for _ in range(20)]
    await scheduler.probe()
    schedulers = [scheduler.another() for _ in range(4)]
    while any(await asyncio.gather(*(other.work() for other in schedulers))):
        await asyncio.gather(*(other.idle() for other in schedulers))
        await scheduler.probe()
    assert [scheduler.cluster.submissions(job) for job in jobs] == [[1]] * len(jobs)


async def test_a_submission_is_taken_over_by_one_scheduler(scheduler: Scheduler) -> None:
    await scheduler.queue()
    await scheduler.probe()
    [first] = await _lease(scheduler)
    await scheduler.expire_leases()
    taken = await asyncio.gather(_take_over(scheduler), _take_over(scheduler))
    [second] = [lease for leases in taken for lease in leases]
    assert (second.attempt.key, second.attempt.fence) == (first.attempt.key, first.attempt.fence + 1)
    assert second.maybe_delivered, "the first may have submitted it"


async def _take_over(scheduler: Scheduler) -> Sequence[Lease]:
    async with transaction(scheduler.pool) as conn:
        return await actions.take_over(conn, {"local": 8})


async def _lease(scheduler: Scheduler) -> Sequence[Lease]:
    async with transaction(scheduler.pool) as conn:
        await lock_queue(conn)
        return await actions.lease(conn, {"local": 8}, None)
