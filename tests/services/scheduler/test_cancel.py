"""A cancelled job has one end, and its run is stopped."""

import asyncio

import pytest

from brightrun.contracts.events import JobCompleted, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from tests.builders import job_cancel_requested, job_queued
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import SubmissionOutcome

LOST = JobError(code="run_lost", message="The node went away.", retryable=True)


async def test_a_waiting_job_is_cancelled_at_once_and_costs_nothing(scheduler: Scheduler) -> None:
    job = await scheduler.queue()
    await scheduler.request_cancel(job)
    await scheduler.request_cancel(job)
    assert not await scheduler.dispatch()
    await _was_cancelled_before_it_ran(scheduler, job)


async def test_a_cancellation_before_its_job_is_remembered(scheduler: Scheduler) -> None:
    job = job_queued()
    scheduler.artifacts.hold(job)
    await scheduler.deliver(job_cancel_requested(job_id=job.job_id), job_cancel_requested(job_id=job.job_id), job, job)
    assert not await scheduler.dispatch()
    await _was_cancelled_before_it_ran(scheduler, job)


async def test_a_job_and_its_concurrent_cancellation_leave_nothing_to_run(scheduler: Scheduler) -> None:
    jobs = [job_queued() for _ in range(10)]
    for job in jobs:
        scheduler.artifacts.hold(job)
    await asyncio.gather(
        *(scheduler.deliver(event) for job in jobs for event in (job, job_cancel_requested(job_id=job.job_id)))
    )
    assert not await scheduler.dispatch()
    for job in jobs:
        await _was_cancelled_before_it_ran(scheduler, job)


async def test_a_cancel_signal_is_repeated_until_the_cluster_reports_the_end(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_cancel(job)
    run = scheduler.cluster.run_of(job)
    await scheduler.stop_runs()
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled[run] == 1, "the signal is repeated after a while only"
    assert await scheduler.recorded(JobCompleted, job) == [], "only the cluster knows when the run is over"
    await scheduler.end_pauses()
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled[run] == 2

    scheduler.cluster.report(job, "cancelled", trained_tokens=500)
    await scheduler.watch()
    await scheduler.end_pauses()
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled[run] == 2
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.trained_tokens) == (JobStatus.CANCELLED, 1, 500)
    assert completed.started_at is not None


async def test_only_the_cancelled_run_is_stopped(scheduler: Scheduler) -> None:
    kept, stopped = await scheduler.queue_live(), await scheduler.queue_live()
    await scheduler.request_cancel(stopped)
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled == {scheduler.cluster.run_of(stopped): 1}
    assert await scheduler.recorded(JobCompleted, kept) == []


async def test_an_unknown_run_does_not_prevent_other_stops(
    scheduler: Scheduler,
) -> None:
    jobs = [await scheduler.queue_live() for _ in range(3)]
    runs = [scheduler.cluster.run_of(job) for job in jobs]
    scheduler.cluster.forgotten.update(runs)
    for job in jobs:
        await scheduler.request_cancel(job)
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled == dict.fromkeys(runs, 1)


async def test_a_job_cancelled_while_it_is_submitted_is_stopped_once_it_runs(scheduler: Scheduler) -> None:
    job, submission = await _cancel_while_submitting(scheduler, None)
    scheduler.cluster.may_respond.set()
    await submission
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled[scheduler.cluster.run_of(job)] == 1
    scheduler.cluster.report(job, "cancelled")
    await scheduler.watch()
    assert [completed.outcome for completed in await scheduler.recorded(JobCompleted, job)] == [JobStatus.CANCELLED]


async def test_a_job_cancelled_while_the_cluster_is_busy_is_not_submitted_again(scheduler: Scheduler) -> None:
    job, submission = await _cancel_while_submitting(scheduler, "busy")
    scheduler.cluster.may_respond.set()
    await submission
    await scheduler.end_pauses()
    assert not await scheduler.dispatch()
    await _was_cancelled_before_it_ran(scheduler, job)


async def test_a_late_run_of_a_cancelled_job_is_stopped_and_does_not_start_it(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.append("busy")
    job = await scheduler.queue()
    await scheduler.dispatch()
    await scheduler.request_cancel(job)
    scheduler.cluster.report(job, "running")
    await scheduler.watch()
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled[scheduler.cluster.run_of(job)] == 1
    scheduler.cluster.report(job, "failed", error=LOST)
    await scheduler.watch()
    await scheduler.end_pauses()
    assert not await scheduler.dispatch()
    await _was_cancelled_before_it_ran(scheduler, job)


async def test_a_run_that_completes_before_it_can_be_stopped_has_completed(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_cancel(job)
    scheduler.cluster.report(job, "completed")
    await scheduler.stop_runs()
    await scheduler.watch()
    assert [completed.outcome for completed in await scheduler.recorded(JobCompleted, job)] == [JobStatus.COMPLETED]


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed"])
async def test_a_cancellation_after_the_end_changes_nothing(scheduler: Scheduler, status: str) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, status)
    await scheduler.watch()
    await scheduler.request_cancel(job)
    await scheduler.stop_runs()
    assert scheduler.cluster.cancelled == {}
    assert [completed.outcome for completed in await scheduler.recorded(JobCompleted, job)] == [status]


async def test_a_lost_run_of_a_cancelled_job_is_not_tried_again(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_cancel(job)
    scheduler.cluster.report(job, "failed", error=LOST)
    await scheduler.watch()
    await scheduler.end_pauses()
    assert not await scheduler.dispatch()
    assert [completed.outcome for completed in await scheduler.recorded(JobCompleted, job)] == [JobStatus.CANCELLED]


async def test_a_job_cancelled_in_the_pause_before_a_retry_is_over(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "failed", error=LOST)
    await scheduler.watch()
    await scheduler.request_cancel(job)
    await scheduler.end_pauses()
    assert not await scheduler.dispatch()
    assert [completed.outcome for completed in await scheduler.recorded(JobCompleted, job)] == [JobStatus.CANCELLED]


async def _was_cancelled_before_it_ran(scheduler: Scheduler, job) -> None:
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt) == (JobStatus.CANCELLED, 0)
    assert (completed.cluster, completed.external_job_id, completed.started_at) == (None, None, None)
    assert await scheduler.recorded(JobStarted, job) == []


async def _cancel_while_submitting(scheduler: Scheduler, outcome: SubmissionOutcome | None):
    """A job whose cancellation comes while its submission hangs; `outcome` is what the cluster will answer."""
    scheduler.cluster.outcomes.append(outcome)
    job, submission = await scheduler.submit_partially()
    await scheduler.request_cancel(job)
    assert await scheduler.recorded(JobCompleted, job) == [], "the cluster may have it already"
    return job, submission


@pytest.mark.parametrize("down", [True, False], ids=["no answer", "an answer"])
async def test_an_unacknowledged_cancellation_ends_the_job_within_five_seconds(
    scheduler: Scheduler, down: bool
) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.down = down
    await scheduler.request_cancel(job)
    await scheduler.stop_runs()
    await scheduler.give_up_unacknowledged()
    assert await scheduler.recorded(JobCompleted, job) == []
    await scheduler.pass_time(seconds=4)
    await scheduler.give_up_unacknowledged()
    completed = await scheduler.recorded(JobCompleted, job)
    assert [(one.outcome, one.billed) for one in completed] == ([(JobStatus.CANCELLED, ())] if down else [])

    scheduler.cluster.down = False
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled[scheduler.cluster.run_of(job)] >= 1
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_a_restarted_scheduler_signals_before_it_gives_a_cancellation_up(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_cancel(job)
    await scheduler.pass_time(minutes=5)
    await scheduler.give_up_unacknowledged()
    assert await scheduler.recorded(JobCompleted, job) == []
