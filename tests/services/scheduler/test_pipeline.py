"""From a queued job to its submission: dispatch is woken, submissions overlap, responses are saved together."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from brightrun.contracts.events import JobCompleted, JobStarted
from brightrun.contracts.training import GpuConfig
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Connection
from brightrun.scheduler.submission import actions
from tests.builders import job_queued
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import FakeCluster
from tests.waiting import eventually

SLOTS = 4


async def test_a_queued_job_wakes_dispatch(scheduler: Scheduler) -> None:
    woken = asyncio.Event()
    connection = await asyncpg.connect(scheduler.database_url)
    await connection.add_listener("scheduler.queue", lambda *_: woken.set())
    await scheduler.queue()
    await asyncio.wait_for(woken.wait(), 10)
    await connection.close()


async def test_jobs_queued_together_are_leased_together(scheduler: Scheduler) -> None:
    await scheduler.probe()
    jobs = [await scheduler.queue() for _ in range(2)]
    assert scheduler.cluster.submitted == []
    assert await scheduler.dispatcher.work()
    assert await scheduler.pool.fetchval("SELECT count(*) FROM attempts") == 2
    await scheduler.dispatcher.idle()
    assert [scheduler.cluster.submissions(job) for job in jobs] == [[1], [1]]
    assert [len(await scheduler.recorded(JobStarted, job)) for job in jobs] == [1, 1]


async def test_a_job_is_queued_although_it_cannot_be_leased(scheduler: Scheduler) -> None:
    await scheduler.probe()
    job = await scheduler.queue()
    await scheduler.pool.execute("ALTER TABLE attempts RENAME TO attempts_away")
    try:
        with pytest.raises(asyncpg.UndefinedTableError):
            await scheduler.dispatcher.work()
    finally:
        await scheduler.pool.execute("ALTER TABLE attempts_away RENAME TO attempts")
    assert scheduler.cluster.submitted == []
    await scheduler.decide()
    assert scheduler.cluster.submissions(job) == [1]


async def test_subscribers_and_dispatchers_do_not_deadlock(scheduler: Scheduler) -> None:
    """Both lock the queue and the user whose jobs they look at."""
    scheduler.cluster.gpus = {"CPU": (8, 7)}
    await scheduler.probe()
    user, large = new_id(), GpuConfig(type="CPU", count=8)
    await scheduler.queue(user_id=user, gpu=large)
    for _ in range(10):
        jobs = [job_queued(user_id=user, gpu=large) for _ in range(2)]
        queueing = (scheduler.deliver(job) for job in jobs)
        await asyncio.gather(*queueing, scheduler.dispatcher.work(), scheduler.another().work())


async def test_submissions_in_flight_are_limited(scheduler: Scheduler) -> None:
    scheduler.cluster.gpus = {"CPU": (1000, 1000)}
    scheduler.cluster.may_respond.clear()
    jobs = [await scheduler.queue() for _ in range(SLOTS + 3)]
    await scheduler.probe()
    dispatcher = scheduler.another(max_concurrent=SLOTS)
    while await dispatcher.work():
        pass
    await eventually(lambda: _submissions(scheduler.cluster, SLOTS))
    scheduler.cluster.may_respond.set()
    await dispatcher.idle()
    while await dispatcher.work():
        await dispatcher.idle()
    assert all(scheduler.cluster.submissions(job) == [1] for job in jobs)


async def test_a_hanging_cluster_does_not_delay_the_others(scheduler: Scheduler, other: FakeCluster) -> None:
    other.may_respond.clear()
    other.gpus = {"H100": (1000, 1000)}
    for _ in range(SLOTS):
        await scheduler.queue(gpu=GpuConfig(type="H100"))
    job = await scheduler.queue()
    await scheduler.probe()
    dispatcher = scheduler.another(max_concurrent=SLOTS)
    while await dispatcher.work():
        pass
    await eventually(lambda: _started(scheduler, job))
    assert await scheduler.pool.fetchval("SELECT count(*) FROM attempts WHERE state = 'submitting'") > 0
    other.may_respond.set()
    await dispatcher.idle()


async def test_a_response_that_cannot_be_saved_does_not_stop_the_others(scheduler: Scheduler) -> None:
    """Responses that come while others are saved are saved together, and one by one when that fails."""
    poison, *jobs = [await scheduler.queue() for _ in range(6)]

    async def apply(conn: Connection, submissions: Sequence) -> None:
        if poison.job_id in {lease.attempt.job_id for lease, _ in submissions}:
            raise ValueError("cannot be saved")
        await actions.apply_submissions(conn, submissions)

    await scheduler.probe()
    broken = scheduler.another(apply=apply)
    while await broken.work():
        await broken.idle()
    assert [len(await scheduler.recorded(JobStarted, job)) for job in jobs] == [1] * len(jobs)
    await scheduler.expire_leases()
    await scheduler.decide()
    assert scheduler.cluster.submissions(poison) == [1, 1]
    assert len(scheduler.cluster.runs_of(poison)) == len(await scheduler.recorded(JobStarted, poison)) == 1


async def test_a_data_set_url_is_signed_once_for_many_jobs(scheduler: Scheduler) -> None:
    first = await scheduler.queue_live()
    for _ in range(5):
        await scheduler.queue(dataset=first.dataset, user_id=first.user_id)
    stranger = await scheduler.queue(dataset=first.dataset)
    scheduler.artifacts.owners[first.dataset.dataset_id] = first.user_id
    await scheduler.dispatch_all()
    assert scheduler.artifacts.signed == 1
    [completed] = await scheduler.recorded(JobCompleted, stranger)
    assert completed.error
    assert completed.error.code == "dataset_not_found"


async def _submissions(cluster: FakeCluster, count: int) -> bool:
    return len(cluster.submitted) == count


async def _started(scheduler: Scheduler, job) -> bool:
    return len(await scheduler.recorded(JobStarted, job)) == 1
