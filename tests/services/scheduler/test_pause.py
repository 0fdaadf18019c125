"""A paused job has saved, holds nothing, and goes on from there; what it trained is billed, once."""

from datetime import timedelta

import pytest

from brightrun.contracts.events import JobCompleted, JobPaused, JobQueued, JobStarted, Segment
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from tests.builders import NOON, job_cancel_requested, job_pause_requested, job_queued
from tests.services.scheduler.conftest import Scheduler

LOST = JobError(code="run_lost", message="The node went away.", retryable=True)
MINUTE = timedelta(minutes=1)


async def pause_live(scheduler: Scheduler, job: JobQueued, *, attempt: int = 1, turn: int = 1, **state) -> JobPaused:
    """Pause a job that runs; its run has trained for a minute."""
    await scheduler.request_pause(job, turn)
    await scheduler.stop_runs()
    saved = {"finished_at": NOON + MINUTE, "current_step": 40, "last_checkpoint_step": 40}
    scheduler.cluster.report(job, "cancelled", attempt=attempt, **saved | state)
    await scheduler.watch()
    return (await scheduler.recorded(JobPaused, job))[-1]


async def test_a_live_job_is_saved_paused_resumed_and_billed_for_both_parts(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    paused = await pause_live(scheduler, job)
    assert scheduler.cluster.signals == [(scheduler.cluster.run_of(job), "checkpoint")]
    assert (paused.attempt, paused.step, paused.cluster) == (1, 40, "local")
    assert paused.billed == (Segment(attempt=1, started_at=NOON, finished_at=NOON + MINUTE),)
    assert (paused.pricing, paused.gpu, paused.name) == (job.pricing, job.gpu, job.name)
    assert not await scheduler.dispatch(), "it waits for its user"
    assert await scheduler.recorded(JobCompleted, job) == []

    await scheduler.request_resume(job)
    await scheduler.dispatch()
    assert [(body.attempt, body.resume_from) for body in scheduler.cluster.submitted] == [
        (1, None),
        (2, scheduler.cluster.run_of(job)),
    ]
    assert [started.attempt for started in await scheduler.recorded(JobStarted, job)] == [1, 2]
    later = {"started_at": NOON + 5 * MINUTE, "finished_at": NOON + 8 * MINUTE}
    scheduler.cluster.report(job, "completed", attempt=2, trained_tokens=900, **later)
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.segments) == (JobStatus.COMPLETED, 2, paused.billed)
    assert completed.billed == (*paused.billed, Segment(attempt=2, **later))
    assert completed.stopped_by is None


async def test_a_waiting_job_pauses_at_once_and_any_number_of_times(scheduler: Scheduler) -> None:
    job = await scheduler.queue()
    for turn in (1, 3, 5):
        await scheduler.request_pause(job, turn)
        assert not await scheduler.dispatch()
        await scheduler.request_resume(job, turn + 1)
    paused = await scheduler.recorded(JobPaused, job)
    assert [(one.attempt, one.billed, one.cluster) for one in paused] == [(1, (), None), (2, (), None), (3, (), None)]
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [4], "the numbers of attempts only grow"


async def test_a_pause_request_before_its_job_is_remembered(scheduler: Scheduler) -> None:
    job = job_queued()
    scheduler.artifacts.hold(job)
    early = job_pause_requested(job_id=job.job_id)
    await scheduler.deliver(early, early, job, job)
    assert not await scheduler.dispatch()
    assert len(await scheduler.recorded(JobPaused, job)) == 1
    await scheduler.request_resume(job)
    assert await scheduler.dispatch()


async def test_an_early_cancellation_overrides_a_pause(scheduler: Scheduler) -> None:
    job = job_queued()
    await scheduler.deliver(job_pause_requested(job_id=job.job_id), job_cancel_requested(job_id=job.job_id), job)
    assert [one.outcome for one in await scheduler.recorded(JobCompleted, job)] == [JobStatus.CANCELLED]
    assert await scheduler.recorded(JobPaused, job) == []


@pytest.mark.parametrize("order", [(1, 2, 3), (1, 3, 2), (3, 1, 2), (3, 2, 1)])
async def test_the_newest_request_counts_in_any_order_of_delivery(scheduler: Scheduler, order) -> None:
    job = await scheduler.queue()
    for turn in order:
        await (scheduler.request_pause(job, turn) if turn % 2 else scheduler.request_resume(job, turn))
    assert not await scheduler.dispatch(), "the third request was to pause"
    await scheduler.request_resume(job, 4)
    await scheduler.request_pause(job, 3)
    assert await scheduler.dispatch()


async def test_a_redelivered_request_changes_nothing(scheduler: Scheduler) -> None:
    job = await scheduler.queue()
    await scheduler.request_pause(job, 1)
    await scheduler.request_resume(job, 2)
    await scheduler.request_pause(job, 1)
    await scheduler.dispatch()
    await scheduler.request_resume(job, 2)
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == []
    assert len(await scheduler.recorded(JobPaused, job)) == 1


async def test_a_job_paused_while_it_is_submitted_is_saved_once_it_runs(scheduler: Scheduler) -> None:
    job, submission = await scheduler.submit_partially()
    await scheduler.request_pause(job)
    assert await scheduler.recorded(JobPaused, job) == []
    scheduler.cluster.may_respond.set()
    await submission
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == [(scheduler.cluster.run_of(job), "checkpoint")]


async def test_a_job_paused_while_the_cluster_is_busy_pauses(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.append("busy")
    job = await scheduler.queue()
    await scheduler.dispatch()
    await scheduler.request_pause(job)
    await scheduler.end_pauses()
    assert not await scheduler.dispatch()
    assert len(await scheduler.recorded(JobPaused, job)) == 1


async def test_a_run_that_completes_before_it_can_be_saved_has_completed(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_pause(job)
    await scheduler.stop_runs()
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert [one.outcome for one in await scheduler.recorded(JobCompleted, job)] == [JobStatus.COMPLETED]
    assert await scheduler.recorded(JobPaused, job) == []
    await scheduler.request_resume(job)
    assert not await scheduler.dispatch()


async def test_a_run_that_is_lost_while_it_is_saved_is_paused_and_not_billed(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await scheduler.request_pause(job)
    scheduler.cluster.report(job, "failed", error=LOST, last_checkpoint_step=20, current_step=31)
    await scheduler.watch()
    [paused] = await scheduler.recorded(JobPaused, job)
    assert (paused.billed, paused.step) == ((), 20)
    await scheduler.request_resume(job)
    await scheduler.dispatch()
    assert scheduler.cluster.submitted[-1].resume_from == scheduler.cluster.run_of(job)


async def test_a_paused_job_is_cancelled_at_once_and_costs_what_it_trained(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    paused = await pause_live(scheduler, job)
    await scheduler.request_cancel(job)
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.billed) == (JobStatus.CANCELLED, 0, paused.billed)
    await scheduler.request_resume(job)
    assert not await scheduler.dispatch()


async def test_a_cancellation_while_a_run_is_saved_cancels_the_job(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    run = scheduler.cluster.run_of(job)
    await scheduler.request_pause(job)
    await scheduler.stop_runs()
    await scheduler.request_cancel(job)
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == [(run, "checkpoint"), (run, "cancel")]
    scheduler.cluster.report(job, "cancelled", last_checkpoint_step=9)
    await scheduler.watch()
    assert [one.outcome for one in await scheduler.recorded(JobCompleted, job)] == [JobStatus.CANCELLED]
    assert await scheduler.recorded(JobPaused, job) == []


async def test_pauses_do_not_count_as_lost_attempts(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    for attempt in (1, 2, 3):
        await pause_live(scheduler, job, attempt=attempt, turn=2 * attempt - 1)
        await scheduler.request_resume(job, 2 * attempt)
        await scheduler.dispatch()
    for attempt in (4, 5):
        scheduler.cluster.report(job, "failed", attempt=attempt, error=LOST)
        await scheduler.watch()
        await scheduler.end_pauses()
        await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 2, 3, 4, 5, 6]
    assert await scheduler.recorded(JobCompleted, job) == []


async def test_a_job_whose_preferred_cluster_is_gone_restarts_elsewhere(scheduler: Scheduler, other) -> None:
    job = await scheduler.queue_live()
    await pause_live(scheduler, job)
    other.gpus = {"CPU": (4, 4)}
    scheduler.cluster.down = True
    await scheduler.pass_time(seconds=30)
    await scheduler.request_resume(job)
    await scheduler.dispatch()
    [body] = other.submitted
    assert (body.attempt, body.resume_from) == (2, None)
