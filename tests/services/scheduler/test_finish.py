"""A user ends a training early and gets what it has."""

from datetime import timedelta

from brightrun.contracts.events import JobCompleted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from tests.builders import NOON
from tests.services.scheduler.conftest import Scheduler

LOST = JobError(code="run_lost", message="The node went away.", retryable=True)
ENDED = {"finished_at": NOON + timedelta(seconds=60)}


async def test_a_run_is_told_to_finish_and_completes_its_job(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_finish(job)
    await scheduler.request_finish(job)
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == [(scheduler.cluster.run_of(job), "finish")]
    scheduler.cluster.report(job, "completed", stopped_early=True, **ENDED)
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.stopped_by) == (JobStatus.COMPLETED, "user")


async def test_a_run_that_had_nothing_to_deliver_ends_its_job(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_finish(job)
    await scheduler.stop_runs()
    scheduler.cluster.report(job, "cancelled", **ENDED)
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.stopped_by) == (JobStatus.CANCELLED, "user")


async def test_the_attempt_after_a_lost_one_is_told_to_finish_too(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_finish(job)
    scheduler.cluster.report(job, "failed", error=LOST, last_checkpoint_step=50)
    await scheduler.watch()
    await scheduler.end_pauses()
    await scheduler.dispatch()
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == [(scheduler.cluster.run_of(job, 2), "finish")]
