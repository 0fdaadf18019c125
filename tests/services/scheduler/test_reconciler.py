"""Orphan runs are stopped, and attempts without a run are retried."""

import asyncio
import signal

from brightrun.contracts.events import JobAttemptLost, JobCompleted, JobProgress, JobQueued
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError, MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.database import transaction
from brightrun.scheduler.coordination import lead
from brightrun.scheduler.submission import actions as submission
from tests.builders import NOON, job_queued
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import FakeCluster

POINT = (MetricPoint(step=1, epoch=0.1, training_loss=2.0),)
LOST = JobError(code="run_lost", message="The node went away.", retryable=True)


async def fall_silent(scheduler: Scheduler, name: str = "local") -> None:
    """The cluster does not answer for two minutes, and everybody has noticed."""
    scheduler.clusters[name].down = True
    await scheduler.probe()
    await scheduler.pass_time(minutes=2)
    await scheduler.probe()


async def test_the_run_of_a_lost_attempt_is_stopped_at_once(scheduler: Scheduler) -> None:
    kept, lost = await scheduler.queue_live(), await scheduler.queue_live()
    scheduler.cluster.report(lost, "failed", error=LOST)
    await scheduler.watch()
    scheduler.cluster.stream.clear()  # it runs after all
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled == {scheduler.cluster.run_of(lost): 1}
    assert await scheduler.recorded(JobCompleted, kept) == []


async def test_a_run_being_submitted_is_not_an_orphan(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.append("broken after accepting")
    job = await scheduler.queue()
    await scheduler.dispatch()
    assert scheduler.cluster.runs_of(job)
    await scheduler.reconcile()
    await scheduler.expire_leases()
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled == {}


async def test_a_run_of_an_unknown_job_is_stopped_after_the_grace_period(
    scheduler: Scheduler,
) -> None:
    await scheduler.probe()
    run = scheduler.cluster.run_of(job_queued())
    moments = iter([0.0, 29.0, 30.0])
    alone = scheduler.reconciler(clock=lambda: next(moments))
    await alone.work()
    await alone.work()
    assert scheduler.cluster.cancelled == {}
    await alone.work()
    assert scheduler.cluster.cancelled == {run: 1}


async def test_unknown_runs_of_a_shared_cluster_are_not_stopped(scheduler: Scheduler) -> None:
    await scheduler.probe()
    assert scheduler.cluster.run_of(job_queued())
    moments = iter([0.0, 3600.0])
    shared = scheduler.reconciler(clock=lambda: next(moments), stop_unknown=False)
    await shared.work()
    await shared.work()
    assert scheduler.cluster.cancelled == {}


async def test_all_pages_of_the_run_list_are_compared(scheduler: Scheduler) -> None:
    await scheduler.clients["local"].close()
    await scheduler.add(scheduler.cluster, runs_per_page=2)
    jobs = [await scheduler.queue_live() for _ in range(5)]
    for job in jobs[::2]:
        await scheduler.pool.execute("UPDATE queue SET state = 'over' WHERE job_id = $1", job.job_id)
    await scheduler.reconcile()
    assert set(scheduler.cluster.cancelled) == {scheduler.cluster.run_of(job) for job in jobs[::2]}


async def test_an_attempt_whose_run_is_gone_is_retried(scheduler: Scheduler) -> None:
    job, fresh = await scheduler.queue_live(), None
    await scheduler.pass_time(minutes=1)
    fresh = await scheduler.queue_live()
    for one in (job, fresh):
        scheduler.cluster.forgotten.add(scheduler.cluster.run_of(one))
    await scheduler.reconcile()
    [lost] = await scheduler.recorded(JobAttemptLost, job)
    assert lost.error.code == "run_gone"
    assert await scheduler.recorded(JobAttemptLost, fresh) == [], "it may not be listed yet"
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 2]


async def test_a_run_missing_from_the_list_alone_is_not_gone(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "running")
    await scheduler.pass_time(minutes=1)
    runs = dict(scheduler.cluster.runs)
    scheduler.cluster.runs.clear()
    await scheduler.reconcile()
    scheduler.cluster.runs.update(runs)
    assert await scheduler.recorded(JobAttemptLost, job) == []


async def test_an_end_that_the_stream_lacks_is_found(scheduler: Scheduler) -> None:
    """The cluster has forgotten its events; the first look leaves the stream its time."""
    job = await scheduler.queue_live()
    await scheduler.pass_time(minutes=1)
    scheduler.cluster.report(job, "completed", finished_at=NOON, trained_tokens=70)
    reconciler = scheduler.reconciler()
    await reconciler.work()
    assert await scheduler.recorded(JobCompleted, job) == []
    await reconciler.work()
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.trained_tokens) == (JobStatus.COMPLETED, 70)
    assert (completed.started_at, completed.finished_at) == (NOON, NOON)


async def test_jobs_of_a_silent_cluster_are_retried_elsewhere_and_its_runs_stopped_on_return(
    scheduler: Scheduler, other: FakeCluster
) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "running", last_checkpoint_step=50)
    await scheduler.watch()
    old = scheduler.cluster.run_of(job)
    other.gpus = {"CPU": (4, 4)}
    await fall_silent(scheduler)
    await scheduler.give_up_silent()
    [lost] = await scheduler.recorded(JobAttemptLost, job)
    assert (lost.attempt, lost.error.code, lost.resumes) == (1, "cluster_silent", True)
    await scheduler.end_pauses()
    await scheduler.dispatch()
    [body] = other.submitted
    assert (body.attempt, body.resume_from) == (2, None)

    scheduler.cluster.down = False
    scheduler.cluster.report(job, "running", points=POINT)
    scheduler.cluster.report(job, "completed", points=POINT)
    scheduler.cluster.stream.pop()
    await scheduler.watch()
    assert [one.attempt for one in await scheduler.published(JobProgress, job)] == [1], (
        "what it says now does not count"
    )
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled[old] >= 1
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert await scheduler.recorded(JobCompleted, job) == []
    other.report(job, "completed", attempt=2)
    await scheduler.watch("other")
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.attempt, completed.cluster, completed.segments) == (2, "other", ())


async def test_a_silent_cluster_that_returns_first_resumes_from_the_checkpoint(
    scheduler: Scheduler,
) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "running", last_checkpoint_step=50)
    await scheduler.watch()
    await fall_silent(scheduler)
    await scheduler.give_up_silent()
    scheduler.cluster.down = False
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert [body.resume_from for body in scheduler.cluster.submitted] == [None, scheduler.cluster.run_of(job)]


async def test_a_submission_to_a_silent_cluster_is_retried_elsewhere(scheduler: Scheduler, other: FakeCluster) -> None:
    scheduler.cluster.outcomes.append("broken after accepting")
    job = await scheduler.queue()
    await scheduler.dispatch()
    other.gpus = {"CPU": (4, 4)}
    await fall_silent(scheduler)
    await scheduler.give_up_silent()
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert [body.attempt for body in other.submitted] == [2]
    scheduler.cluster.down = False
    await scheduler.probe()
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled == {scheduler.cluster.run_of(job): 1}


async def test_a_restarted_cluster_loses_nothing(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.down = True
    await scheduler.probe()
    await scheduler.pass_time(seconds=30)
    await scheduler.give_up_silent()
    scheduler.cluster.down = False
    await scheduler.probe()
    await scheduler.pass_time(minutes=9)
    await scheduler.give_up_silent()
    assert await scheduler.recorded(JobAttemptLost, job) == []


async def test_a_schedulers_downtime_is_not_a_clusters_silence(scheduler: Scheduler) -> None:
    """It did not respond before all schedulers were away, and does not now: the time between is unknown."""
    job = await scheduler.queue_live()
    scheduler.cluster.down = True
    await scheduler.probe()
    await scheduler.pool.execute(
        "UPDATE clusters SET silent_since = now() - interval '1 hour', unanswered_at = now() - interval '50 minutes'"
    )
    await scheduler.probe()
    await scheduler.give_up_silent()
    assert await scheduler.recorded(JobAttemptLost, job) == []
    await scheduler.pass_time(minutes=2)
    await scheduler.give_up_silent()
    assert len(await scheduler.recorded(JobAttemptLost, job)) == 1


async def test_a_late_acceptance_of_a_lost_attempt_is_recorded_and_stopped(scheduler: Scheduler) -> None:
    job, submission = await scheduler.submit_partially()
    await scheduler.request_cancel(job)
    await scheduler.pass_time(seconds=4)
    await scheduler.give_up_unacknowledged()
    assert [one.outcome for one in await scheduler.recorded(JobCompleted, job)] == [JobStatus.CANCELLED]
    scheduler.cluster.may_respond.set()
    await submission
    scheduler.cluster.features |= {"runs": False}
    await scheduler.probe()
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled == {scheduler.cluster.run_of(job): 1}
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled == {scheduler.cluster.run_of(job): 1}, "it has acknowledged that"


async def test_only_the_leader_reconciles_a_cluster(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await lead(scheduler.pool, "local", new_id())
    await scheduler.pool.execute("UPDATE queue SET state = 'over'")
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled == {}
    await scheduler.pass_time(minutes=2)
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled == {scheduler.cluster.run_of(job): 1}


async def test_a_reconciler_killed_after_it_stopped_a_run_stops_it_again(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    await _give_up(scheduler, job)
    async with scheduler.process("reconciler.stopped") as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    assert scheduler.cluster.cancelled == {scheduler.cluster.run_of(job): 1}
    await scheduler.expire_leases()
    await scheduler.reconcile()
    assert scheduler.cluster.cancelled[scheduler.cluster.run_of(job)] > 1
    scheduler.cluster.report(job, "cancelled")
    await scheduler.watch()
    assert await scheduler.recorded(JobCompleted, job) == []


async def _give_up(scheduler: Scheduler, job: JobQueued) -> None:
    """Its cluster was silent; now there is nowhere to try it again."""
    await fall_silent(scheduler)
    await scheduler.give_up_silent()
    scheduler.cluster.down = False
    scheduler.cluster.gpus = {"CPU": (8, 0)}
    async with transaction(scheduler.pool) as conn:
        assert await submission.lease(conn, {"local": 8}, None) == []
    assert len(await scheduler.recorded(JobAttemptLost, job)) == 1
