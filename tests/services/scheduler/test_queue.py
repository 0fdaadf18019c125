"""Who is submitted next."""

from datetime import timedelta

from brightrun.contracts.events import JobStarted
from brightrun.contracts.training import GpuConfig
from brightrun.runtime.database import transaction
from brightrun.scheduler import actions
from tests.builders import NOON
from tests.services.scheduler.conftest import Scheduler


async def test_a_redelivered_job_is_placed_once(scheduler: Scheduler) -> None:
    job = await scheduler.queue()
    await scheduler.deliver(job)
    assert await scheduler.dispatch()
    await scheduler.deliver(job)
    assert not await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1]
    assert len(await scheduler.said(JobStarted, job)) == 1


async def test_jobs_are_submitted_first_come_first_served(scheduler: Scheduler) -> None:
    third, first, second = [
        await scheduler.queue(occurred_at=NOON + timedelta(seconds=seconds)) for seconds in (3, 1, 2)
    ]
    while await scheduler.dispatch():
        pass
    assert [body.job_id for body in scheduler.cluster.submitted] == [first.job_id, second.job_id, third.job_id]


async def test_a_job_that_does_not_fit_waits_and_a_smaller_one_goes_ahead(scheduler: Scheduler) -> None:
    scheduler.cluster.free_gpus = 2
    large = await scheduler.queue(occurred_at=NOON, gpu=GpuConfig(type="CPU", count=4))
    small = await scheduler.queue(occurred_at=NOON + timedelta(seconds=1), gpu=GpuConfig(type="CPU", count=2))
    while await scheduler.dispatch():
        pass
    assert scheduler.cluster.submissions(small) == [1]
    assert scheduler.cluster.submissions(large) == []

    scheduler.cluster.free_gpus = 4
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(large) == [1]


async def test_two_schedulers_that_look_at_the_same_time_get_a_job_each(scheduler: Scheduler) -> None:
    jobs = [await scheduler.queue(occurred_at=NOON + timedelta(seconds=second)) for second in range(2)]
    async with (
        transaction(scheduler.pool) as one,
        transaction(scheduler.pool) as other,
        transaction(scheduler.pool) as late,
    ):
        taken = [await actions.take_next(conn, "local", 8) for conn in (one, other, late)]
    assert [attempt and attempt.job.job_id for attempt in taken] == [jobs[0].job_id, jobs[1].job_id, None]


async def test_two_schedulers_that_take_over_a_submission_do_not_share_it(scheduler: Scheduler) -> None:
    await scheduler.queue()
    async with transaction(scheduler.pool) as conn:
        first = await actions.take_next(conn, "local", 8)
    await scheduler.let_leases_lapse()
    async with transaction(scheduler.pool) as one, transaction(scheduler.pool) as other:
        second = await actions.take_next(one, "local", 0)
        assert await actions.take_next(other, "local", 0) is None
    assert first
    assert second
    assert (second.key, second.fence) == (first.key, first.fence + 1)
