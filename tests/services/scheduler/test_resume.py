"""A retry goes on from the last checkpoint of a job that did not complete, while its cluster keeps that."""

from datetime import timedelta

from brightrun.contracts.events import JobCompleted, JobQueued
from brightrun.contracts.training import JobError
from tests.builders import NOON
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import FakeCluster

WRONG = JobError(code="diverged", message="The loss is not a number.")
END = NOON + timedelta(minutes=5)


async def fail(scheduler: Scheduler, **state) -> JobQueued:
    """A job that fails, after the reports of its run."""
    scheduler.cluster.features |= {"checkpoint_days": 7}
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "running", **state)
    scheduler.cluster.report(job, "failed", error=WRONG, finished_at=END, **state)
    await scheduler.watch()
    return job


async def test_a_retry_goes_on_from_the_checkpoint_on_its_cluster(scheduler: Scheduler, other: FakeCluster) -> None:
    failed = await fail(scheduler, last_checkpoint_step=50)
    [completed] = await scheduler.recorded(JobCompleted, failed)
    assert completed.resumable_until == END + timedelta(days=7)
    other.gpus = {"CPU": (1, 1)}
    retry = await scheduler.queue(user_id=failed.user_id, resumes_job=failed.job_id)
    await scheduler.dispatch()
    assert other.submissions(retry) == [], "though that has the better fit"
    assert scheduler.cluster.submitted[-1].resume_from == scheduler.cluster.run_of(failed)


async def test_a_paused_job_that_is_cancelled_leaves_its_checkpoint_too(scheduler: Scheduler) -> None:
    scheduler.cluster.features |= {"checkpoint_days": 7}
    job = await scheduler.queue_live()
    await scheduler.request_pause(job)
    scheduler.cluster.report(job, "cancelled", finished_at=END, last_checkpoint_step=5)
    await scheduler.stop_runs()
    await scheduler.watch()
    await scheduler.request_cancel(job)
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.resumable_until == END + timedelta(days=7)


async def test_a_retry_starts_from_the_beginning_without_a_checkpoint_or_its_cluster(scheduler: Scheduler) -> None:
    failed = await fail(scheduler)
    [completed] = await scheduler.recorded(JobCompleted, failed)
    assert completed.resumable_until is None
    retry = await scheduler.queue(user_id=failed.user_id, resumes_job=failed.job_id)
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(retry) == [1]
    assert scheduler.cluster.submitted[-1].resume_from is None


async def test_the_checkpoints_of_another_user_are_out_of_reach(scheduler: Scheduler) -> None:
    failed = await fail(scheduler, last_checkpoint_step=50)
    await scheduler.queue(resumes_job=failed.job_id)
    await scheduler.dispatch()
    assert scheduler.cluster.submitted[-1].resume_from is None
