"""Events of the cluster's stream become progress and one end."""

import asyncio

import pytest

from brightrun.contracts.events import JobAttemptLost, JobCompleted, JobProgress, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import Checkpoint, JobError, MetricPoint
from brightrun.contracts.values import new_id
from brightrun.scheduler.coordination import lead, resign
from brightrun.scheduler.lifecycle.rules import retry_pause
from brightrun.scheduler.observation.queries import move_cursor, read_position
from tests.builders import NOON, job_queued
from tests.services.scheduler.conftest import Scheduler

LOST = JobError(code="run_lost", message="The node went away.", retryable=True)
UNKNOWN = JobError(code="trainer_error", message="KeyError: 'x'", retryable=True)
DIVERGED = JobError(code="diverged", message="The loss is not a number.")


async def test_events_become_progress_under_the_clusters_ids(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    point = MetricPoint(step=3, epoch=0.5, training_loss=1.25)
    events = [
        scheduler.cluster.report(job, "initializing", stage="loading", progress=0),
        scheduler.cluster.report(job, "running", points=(point,), progress=40, current_step=3, total_steps=8),
    ]
    assert await scheduler.watch()
    assert not await scheduler.watch(), "everything is read"
    loading, training = sorted(await scheduler.published(JobProgress, job), key=lambda progress: progress.seq)
    assert [loading.event_id, training.event_id] == [event.event_id for event in events]
    assert [(loading.attempt, loading.seq), (training.attempt, training.seq)] == [(1, 1), (1, 2)]
    assert (loading.status, loading.stage) == (JobStatus.INITIALIZING, "loading")
    assert (training.status, training.percent, training.step, training.total_steps) == (JobStatus.RUNNING, 40, 3, 8)
    assert training.points == (point,)
    assert training.user_id == job.user_id


async def test_a_page_read_twice_ends_the_job_once(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "completed", trained_tokens=9_000, finished_at=NOON)
    await scheduler.watch()
    await scheduler.pool.execute("UPDATE clusters SET cursor = 0")
    assert await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt) == (JobStatus.COMPLETED, 1)
    assert (completed.cluster, completed.external_job_id) == ("local", scheduler.cluster.run_of(job))
    assert (completed.started_at, completed.finished_at, completed.trained_tokens) == (NOON, NOON, 9_000)
    assert (completed.spec, completed.gpu, completed.dataset) == (job.spec, job.gpu, job.dataset)
    assert completed.pricing == job.pricing


async def test_the_last_points_of_a_run_are_not_lost(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    point = MetricPoint(step=8, epoch=1, training_loss=0.5)
    scheduler.cluster.report(job, "completed", points=(point,))
    await scheduler.watch()
    [progress] = await scheduler.published(JobProgress, job)
    assert progress.points == (point,)


async def test_checkpoints_are_passed_on_even_with_the_end_of_a_run(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    first, last = Checkpoint(step=4, saved_at=NOON), Checkpoint(step=8, saved_at=NOON)
    scheduler.cluster.report(job, "running", checkpoints=(first,))
    scheduler.cluster.report(job, "completed", checkpoints=(last,))
    await scheduler.watch()
    published = await scheduler.published(JobProgress, job)
    assert [progress.checkpoints for progress in sorted(published, key=lambda event: event.seq)] == [(first,), (last,)]


async def test_an_event_of_an_unanswered_submission_starts_the_job_once(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.append("broken after accepting")
    job = await scheduler.queue()
    await scheduler.dispatch()
    scheduler.cluster.report(job, "initializing")
    scheduler.cluster.report(job, "running")
    await scheduler.watch()
    await scheduler.expire_leases()
    assert not await scheduler.dispatch()
    [started] = await scheduler.recorded(JobStarted, job)
    assert started.external_job_id == scheduler.cluster.run_of(job)


async def test_runs_of_others_are_ignored(scheduler: Scheduler) -> None:
    job, foreign = await scheduler.queue_live(), job_queued()
    scheduler.cluster.report(foreign, "running")
    scheduler.cluster.report(foreign, "completed")
    scheduler.cluster.report(job, "completed", attempt=7)
    scheduler.cluster.report(job, "running")
    await scheduler.watch()
    assert await scheduler.recorded(JobCompleted, job) == []
    assert await scheduler.published(JobProgress, foreign) == []
    assert len(await scheduler.published(JobProgress, job)) == 1


async def test_a_lost_run_is_retried_after_a_pause_and_fails_after_three(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    for attempt in (1, 2):
        scheduler.cluster.report(job, "failed", attempt=attempt, error=LOST)
        await scheduler.watch()
        assert not await scheduler.dispatch(), "it pauses first"
        await scheduler.end_pauses()
        await scheduler.dispatch()
    assert await scheduler.recorded(JobCompleted, job) == []

    scheduler.cluster.report(job, "failed", attempt=3, error=LOST)
    await scheduler.watch()
    await scheduler.end_pauses()
    assert not await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 2, 3]
    assert [started.attempt for started in await scheduler.recorded(JobStarted, job)] == [1, 2, 3]
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.error) == (JobStatus.FAILED, 3, LOST)


async def test_an_unknown_error_is_retried_once_when_it_comes_back_at_the_same_step(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    for attempt, step in ((1, 7), (2, 8), (3, 8)):
        scheduler.cluster.report(job, "failed", attempt=attempt, error=UNKNOWN, current_step=step)
        await scheduler.watch()
        await scheduler.end_pauses()
        await scheduler.dispatch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert scheduler.cluster.submissions(job) == [1, 2, 3], "another step is another error"
    assert completed.error
    assert (completed.outcome, completed.error.code, completed.error.retryable) == ("failed", UNKNOWN.code, False)

    again = await scheduler.queue_live()
    for attempt in (1, 2):
        scheduler.cluster.report(again, "failed", attempt=attempt, error=UNKNOWN, current_step=8)
        await scheduler.watch()
        await scheduler.end_pauses()
        await scheduler.dispatch()
    [completed] = await scheduler.recorded(JobCompleted, again)
    assert (completed.outcome, completed.attempt) == (JobStatus.FAILED, 2)
    assert scheduler.cluster.submissions(again) == [1, 2]


async def test_the_end_of_an_earlier_attempt_does_not_affect_the_next(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "failed", error=LOST)
    await scheduler.watch()
    await scheduler.end_pauses()
    await scheduler.dispatch()
    scheduler.cluster.report(job, "failed", error=DIVERGED)
    await scheduler.watch()
    assert await scheduler.recorded(JobCompleted, job) == []


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"error": DIVERGED}, DIVERGED),
        ({"error_message": "out of memory"}, JobError(code="run_failed", message="out of memory")),
    ],
)
async def test_a_failure_that_is_not_retryable_ends_the_job(scheduler: Scheduler, state, error) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "failed", **state)
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.error) == (JobStatus.FAILED, 1, error)


async def test_a_cluster_that_lost_its_history_is_read_again(scheduler: Scheduler) -> None:
    await scheduler.probe()
    for _ in range(3):
        scheduler.cluster.report(job_queued(), "running")
    await scheduler.watch()
    scheduler.cluster.stream.clear()
    await scheduler.watch()
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_a_slow_watcher_does_not_move_the_cursor_back(scheduler: Scheduler) -> None:
    async with scheduler.pool.acquire() as conn:
        assert await move_cursor(conn, "local", 0, 5)
        assert await move_cursor(conn, "local", 5, 9)
        assert not await move_cursor(conn, "local", 0, 7)
    assert (await read_position(scheduler.pool, "local")).cursor == 9


async def test_a_retry_waits_for_its_pause(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "failed", error=LOST)
    await scheduler.watch()
    waits = await scheduler.pool.fetchval("SELECT not_before - now() FROM queue WHERE job_id = $1", job.job_id)
    assert retry_pause(1) / 2 < waits <= retry_pause(1)


async def test_one_scheduler_watches_a_cluster_and_another_takes_over(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    first, second = scheduler.watcher(), scheduler.watcher()
    scheduler.cluster.report(job, "running")
    assert await first.work()
    scheduler.cluster.report(job, "completed")
    assert not await second.work()
    assert await scheduler.recorded(JobCompleted, job) == []

    await scheduler.expire_leases()
    assert await second.work()
    assert not await first.work(), "it is the second's now"
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_a_stopped_scheduler_resigns_at_once(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    me = new_id()
    assert await lead(scheduler.pool, "local", me)
    scheduler.cluster.report(job, "completed")
    assert not await scheduler.watch()
    await resign(scheduler.pool, me)
    assert await scheduler.watch()


async def test_a_watcher_delayed_past_its_lease_changes_nothing(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read and published a page that the cluster has lost since; another scheduler has read the next one."""
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "completed")
    late, release, published = scheduler.watcher(), asyncio.Event(), asyncio.Event()
    publish = scheduler.bus.publish

    async def slow(events):
        await publish(events)
        published.set()
        await release.wait()

    monkeypatch.setattr(scheduler.bus, "publish", slow)
    paused = asyncio.create_task(late.work())
    await published.wait()
    monkeypatch.setattr(scheduler.bus, "publish", publish)
    await scheduler.expire_leases()
    scheduler.cluster.stream.clear()
    scheduler.cluster.report(job, "failed", error=LOST)
    scheduler.cluster.report(job_queued(), "running")
    assert await scheduler.watch()
    release.set()
    assert not await paused
    assert await scheduler.recorded(JobCompleted, job) == []
    assert (await read_position(scheduler.pool, "local")).cursor == 2


async def test_a_lost_attempt_is_published_and_resumes_from_its_checkpoint(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "running", last_checkpoint_step=50)
    scheduler.cluster.report(job, "failed", error=LOST, last_checkpoint_step=50)
    await scheduler.watch()
    [lost] = await scheduler.recorded(JobAttemptLost, job)
    assert (lost.attempt, lost.cluster, lost.error, lost.resumes) == (1, "local", LOST, True)
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert [body.resume_from for body in scheduler.cluster.submitted] == [None, scheduler.cluster.run_of(job)]


async def test_lost_attempts_are_not_billed_even_if_none_follows(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    for attempt in (1, 2, 3):
        scheduler.cluster.report(job, "failed", attempt=attempt, error=LOST)
        await scheduler.watch()
        await scheduler.end_pauses()
        await scheduler.dispatch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.billed) == (JobStatus.FAILED, ())
