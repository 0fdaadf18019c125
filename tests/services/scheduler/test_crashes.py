"""The scheduler as a process: killed at its worst moments, and whole."""

import asyncio
import signal

import pytest

from brightrun.contracts.events import JobCompleted, JobProgress, JobQueued, JobStarted
from brightrun.contracts.job_status import JobStatus
from tests.builders import job_queued
from tests.services.scheduler.conftest import Scheduler
from tests.waiting import eventually

START_SECONDS = 60.0


@pytest.mark.parametrize(("failpoint", "submissions_before"), [("dispatch.leased", 0), ("dispatch.submitted", 1)])
async def test_a_scheduler_killed_while_it_submits_leaves_one_run(
    scheduler: Scheduler, failpoint: str, submissions_before: int
) -> None:
    job = await scheduler.queue()
    await _die(scheduler, failpoint)
    assert len(scheduler.cluster.submissions(job)) == submissions_before
    assert await scheduler.said(JobStarted, job) == []

    await scheduler.let_leases_lapse()
    while await scheduler.dispatch():
        pass
    assert scheduler.cluster.submissions(job) == [1] * (submissions_before + 1)
    assert len(scheduler.cluster.runs_of(job)) == 1
    assert len(await scheduler.said(JobStarted, job)) == 1
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert len(await scheduler.said(JobCompleted, job)) == 1


async def test_progress_is_published_again_with_equal_ids_when_the_scheduler_dies_before_it_remembers(
    scheduler: Scheduler,
) -> None:
    job = await scheduler.queue_live()
    event = scheduler.cluster.report(job, "running")
    scheduler.cluster.report(job, "completed")
    await _die(scheduler, "watch.published")
    assert await _ids(scheduler, job) == [event.event_id]
    assert await scheduler.pool.fetchval("SELECT count(*) FROM clusters") == 0, "the cursor moves only afterwards"
    assert await scheduler.said(JobCompleted, job) == []

    assert await scheduler.watch()
    assert not await scheduler.watch()
    assert await _ids(scheduler, job) == [event.event_id] * 2
    assert len(await scheduler.said(JobCompleted, job)) == 1


async def test_a_job_goes_through_the_whole_service(scheduler: Scheduler) -> None:
    job = job_queued()
    scheduler.artifacts.hold(job)
    await scheduler.bus.publish([job, job])
    async with scheduler.process():
        await eventually(lambda: _submitted(scheduler, job), within=START_SECONDS)
        scheduler.cluster.report(job, "completed")
        await eventually(lambda: _outbox_is_sent(scheduler), within=START_SECONDS)
    assert scheduler.cluster.submissions(job) == [1]
    assert [started.attempt for started in await scheduler.heard(JobStarted, job)] == [1]
    assert [completed.outcome for completed in await scheduler.heard(JobCompleted, job)] == [JobStatus.COMPLETED]


async def _die(scheduler: Scheduler, failpoint: str) -> None:
    async with scheduler.process(failpoint) as process:
        assert await asyncio.wait_for(process.wait(), START_SECONDS) == -signal.SIGKILL


async def _ids(scheduler: Scheduler, job: JobQueued) -> list[object]:
    return [progress.event_id for progress in await scheduler.heard(JobProgress, job)]


async def _submitted(scheduler: Scheduler, job: JobQueued) -> bool:
    return bool(scheduler.cluster.runs_of(job))


async def _outbox_is_sent(scheduler: Scheduler) -> bool:
    """Whether the job is over, and all of it is in Kafka."""
    over = await scheduler.pool.fetchval("SELECT bool_and(state = 'over') FROM queue")
    return bool(over) and await scheduler.pool.fetchval("SELECT count(*) FROM outbox") == 0
