"""From a queued job to its submission: one transaction, many submissions at once, answers written together."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from brightrun.contracts.events import JobCompleted, JobQueued, JobStarted
from brightrun.contracts.training import GpuConfig
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Connection, transaction
from brightrun.scheduler import subscribers
from brightrun.scheduler.actions import dispatch as actions
from brightrun.scheduler.loops import dispatch
from brightrun.scheduler.loops.dispatch import Dispatcher
from tests.builders import job_queued
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import FakeCluster
from tests.waiting import eventually


async def test_a_job_is_leased_in_the_transaction_that_queues_it(scheduler: Scheduler) -> None:
    await scheduler.survey()
    jobs = await _read(scheduler, [job_queued(), job_queued()])
    assert await scheduler.pool.fetchval("SELECT count(*) FROM attempts") == 2
    assert scheduler.cluster.submitted == [], "nothing is sent before the commit"
    scheduler.dispatcher.submit_leased()
    await scheduler.dispatcher.idle()
    assert [scheduler.cluster.submissions(job) for job in jobs] == [[1], [1]]
    assert [len(await scheduler.said(JobStarted, job)) for job in jobs] == [1, 1]


async def test_nothing_is_submitted_of_a_transaction_that_was_rolled_back(scheduler: Scheduler) -> None:
    await scheduler.survey()
    async with scheduler.pool.acquire() as conn:
        attempted = conn.transaction()
        await attempted.start()
        await _reader(scheduler.dispatcher)([_held(scheduler, job_queued())], conn)
        await attempted.rollback()
    await _read(scheduler, [])
    scheduler.dispatcher.submit_leased()
    await scheduler.dispatcher.idle()
    assert scheduler.cluster.submitted == []


async def test_jobs_are_queued_though_they_cannot_be_leased(scheduler: Scheduler, monkeypatch) -> None:
    async def deadlock(*_: object) -> None:
        raise asyncpg.DeadlockDetectedError("as two do")

    await scheduler.survey()
    job = job_queued()
    with monkeypatch.context() as broken:
        broken.setattr(actions, "lease", deadlock)
        with pytest.raises(asyncpg.DeadlockDetectedError):
            await _read(scheduler, [job])
        await _read(scheduler, [job])
        scheduler.dispatcher.submit_leased()
    assert scheduler.cluster.submitted == []
    await scheduler.decide()
    assert scheduler.cluster.submissions(job) == [1]


async def test_readers_and_deciders_do_not_lock_each_other_out(scheduler: Scheduler) -> None:
    """Both lock the decision and the user whose jobs they look at."""
    scheduler.cluster.gpus = {"CPU": (8, 7)}
    await scheduler.survey()
    user, large = new_id(), GpuConfig(type="CPU", count=8)
    await scheduler.queue(user_id=user, gpu=large)
    for _ in range(10):
        jobs = [job_queued(user_id=user, gpu=large) for _ in range(2)]
        reading = (_read(scheduler, [job], scheduler.another()) for job in jobs)
        await asyncio.gather(*reading, scheduler.dispatcher.work(), scheduler.another().work())


async def test_many_are_submitted_side_by_side_but_not_too_many(scheduler: Scheduler) -> None:
    scheduler.cluster.gpus = {"CPU": (1000, 1000)}
    scheduler.cluster.open_for_answers.clear()
    jobs = [await scheduler.queue() for _ in range(dispatch.AT_ONCE + 5)]
    await scheduler.survey()
    while await scheduler.dispatcher.work():
        pass
    await eventually(lambda: _submissions(scheduler.cluster, dispatch.AT_ONCE))
    scheduler.cluster.open_for_answers.set()
    await scheduler.dispatcher.idle()
    while await scheduler.decide():
        pass
    assert all(scheduler.cluster.submissions(job) == [1] for job in jobs)


async def test_a_hanging_cluster_does_not_keep_the_others_waiting(scheduler: Scheduler, other: FakeCluster) -> None:
    other.open_for_answers.clear()
    for _ in range(dispatch.AT_ONCE):
        other.gpus = {"H100": (1000, 1000)}
        await scheduler.queue(gpu=GpuConfig(type="H100"))
    job = await scheduler.queue()
    await scheduler.survey()
    while await scheduler.dispatcher.work():
        pass
    await eventually(lambda: _started(scheduler, job))
    assert await scheduler.pool.fetchval("SELECT count(*) FROM attempts WHERE state = 'submitting'") > 0
    other.open_for_answers.set()
    await scheduler.dispatcher.idle()


async def test_an_answer_that_cannot_be_written_does_not_take_the_others_along(
    scheduler: Scheduler, monkeypatch
) -> None:
    """Answers that come while others are written are written together, and one by one when that fails."""
    poison, *jobs = [await scheduler.queue() for _ in range(6)]
    write_down = actions.apply_submissions

    async def apply(conn: Connection, answers: Sequence) -> None:
        if poison.job_id in {lease.attempt.job_id for lease, _ in answers}:
            raise ValueError("cannot be written")
        await write_down(conn, answers)

    await scheduler.survey()
    with monkeypatch.context() as broken:
        broken.setattr(actions, "apply_submissions", apply)
        await scheduler.decide()
    assert [len(await scheduler.said(JobStarted, job)) for job in jobs] == [1] * len(jobs)
    await scheduler.let_leases_lapse()
    await scheduler.decide()
    assert scheduler.cluster.submissions(poison) == [1, 1]
    assert len(scheduler.cluster.runs_of(poison)) == len(await scheduler.said(JobStarted, poison)) == 1


async def test_a_data_set_is_asked_for_once_for_many_jobs(scheduler: Scheduler) -> None:
    first = await scheduler.queue_live()
    for _ in range(5):
        await scheduler.queue(dataset=first.dataset, user_id=first.user_id)
    stranger = await scheduler.queue(dataset=first.dataset)
    scheduler.artifacts.owners[first.dataset.dataset_id] = first.user_id
    await scheduler.dispatch_all()
    assert scheduler.artifacts.signed == 1
    [completed] = await scheduler.said(JobCompleted, stranger)
    assert completed.error
    assert completed.error.code == "dataset_not_found"


def _reader(dispatcher: Dispatcher):
    return dispatcher.leasing(subscribers.on_jobs_queued).handle


def _held(scheduler: Scheduler, job: JobQueued) -> JobQueued:
    scheduler.artifacts.hold(job)
    return job


async def _read(scheduler: Scheduler, jobs: list[JobQueued], dispatcher: Dispatcher | None = None) -> list[JobQueued]:
    """Let the reader have the jobs in one transaction."""
    async with transaction(scheduler.pool) as conn:
        await _reader(dispatcher or scheduler.dispatcher)([_held(scheduler, job) for job in jobs], conn)
    return jobs


async def _submissions(cluster: FakeCluster, count: int) -> bool:
    return len(cluster.submitted) == count


async def _started(scheduler: Scheduler, job: JobQueued) -> bool:
    return len(await scheduler.said(JobStarted, job)) == 1
