"""The scheduler as a process: killed at its worst moments, and whole."""

import asyncio
import signal

import pytest

from brightrun.contracts.events import JobCompleted, JobProgress, JobQueued, JobStarted
from brightrun.contracts.job_status import JobStatus
from tests.builders import job_queued
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import SubmissionOutcome
from tests.waiting import eventually

pytestmark = pytest.mark.slow

START_SECONDS = 120.0


SUBMITTED_BEFORE = {
    "dispatch.leasing": 0,
    "dispatch.leased": 0,
    "dispatch.submitted": 1,
    "dispatch.saving": 1,
    "dispatch.saved": 1,
}
"""Where a scheduler may die, and how often the job was submitted by then."""


@pytest.mark.parametrize("failpoint", SUBMITTED_BEFORE)
async def test_a_scheduler_killed_while_it_submits_leaves_one_run(scheduler: Scheduler, failpoint: str) -> None:
    job = await scheduler.queue()
    await _die(scheduler, failpoint)
    assert len(scheduler.cluster.submissions(job)) == SUBMITTED_BEFORE[failpoint]
    assert len(await scheduler.recorded(JobStarted, job)) == (failpoint == "dispatch.saved")
    await scheduler.expire_leases()
    await scheduler.reconcile()
    await _runs_once(scheduler, job)
    assert scheduler.cluster.cancelled == {}, "reconciliation right after the crash finds no orphan"


@pytest.mark.parametrize("failpoint", ["consumer.handled", "dispatch.leased"])
async def test_a_job_whose_consumer_dies_is_redelivered_and_runs_once(scheduler: Scheduler, failpoint: str) -> None:
    """The reader dies before it acknowledges the job to Kafka, so that it is delivered again."""
    job = job_queued()
    scheduler.artifacts.hold(job)
    await scheduler.probe()
    await scheduler.bus.publish([job])
    await _die(scheduler, failpoint)
    await scheduler.expire_leases()
    async with scheduler.process():
        await eventually(lambda: _submitted(scheduler, job), within=START_SECONDS)
    await _runs_once(scheduler, job)


async def test_a_scheduler_killed_before_the_cluster_responds_leaves_one_run(scheduler: Scheduler) -> None:
    scheduler.cluster.may_respond.clear()
    job = await scheduler.queue()
    async with scheduler.process() as process:
        await eventually(lambda: _asked(scheduler, 1), within=START_SECONDS)
        process.kill()
        await process.wait()
    scheduler.cluster.may_respond.set()
    assert await scheduler.recorded(JobStarted, job) == []
    await _runs_once(scheduler, job)


@pytest.mark.parametrize("outcome", ["busy", "unsupported", None])
async def test_a_process_frozen_past_its_lease_changes_nothing(
    scheduler: Scheduler, outcome: SubmissionOutcome | None
) -> None:
    scheduler.cluster.outcomes.append(outcome)
    scheduler.cluster.may_respond.clear()
    job = await scheduler.queue()
    async with scheduler.process() as process:
        await eventually(lambda: _asked(scheduler, 1), within=START_SECONDS)
        process.send_signal(signal.SIGSTOP)
        await scheduler.expire_leases()
        assert await scheduler.dispatcher.take_over()
        await eventually(lambda: _asked(scheduler, 2))
        scheduler.cluster.may_respond.set()
        await scheduler.dispatcher.idle()
        before = await _what_is_known(scheduler)
        process.send_signal(signal.SIGCONT)
    assert await _what_is_known(scheduler) == before
    assert len(scheduler.cluster.runs_of(job)) == 1
    assert len({event.event_id for event in await _everything_recorded(scheduler, JobStarted, job)}) == 1


async def test_progress_is_republished_with_equal_ids_after_a_crash_before_the_commit(
    scheduler: Scheduler,
) -> None:
    job = await scheduler.queue_live()
    event = scheduler.cluster.report(job, "running")
    scheduler.cluster.report(job, "completed")
    await _die(scheduler, "watch.published")
    assert await _ids(scheduler, job) == [event.event_id]
    assert await scheduler.pool.fetchval("SELECT cursor FROM clusters") == 0, "the cursor moves only afterwards"
    assert await scheduler.recorded(JobCompleted, job) == []

    assert not await scheduler.watch(), "the dead one's lease has not ended yet"
    await scheduler.expire_leases()
    assert await scheduler.watch()
    assert not await scheduler.watch()
    assert await _ids(scheduler, job) == [event.event_id] * 2
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_an_uncommitted_end_is_read_again(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    scheduler.cluster.report(job, "completed")
    await _die(scheduler, "watch.applied")
    assert await scheduler.recorded(JobCompleted, job) == []
    await scheduler.expire_leases()
    assert await scheduler.watch()
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_a_job_passes_through_the_whole_service(scheduler: Scheduler) -> None:
    job = job_queued()
    scheduler.artifacts.hold(job)
    await scheduler.bus.publish([job, job])
    async with scheduler.process():
        await eventually(lambda: _submitted(scheduler, job), within=START_SECONDS)
        scheduler.cluster.report(job, "completed")
        await eventually(lambda: _outbox_is_sent(scheduler), within=START_SECONDS)
    assert scheduler.cluster.submissions(job) == [1]
    assert [started.attempt for started in await scheduler.published(JobStarted, job)] == [1]
    assert [completed.outcome for completed in await scheduler.published(JobCompleted, job)] == [JobStatus.COMPLETED]


async def _runs_once(scheduler: Scheduler, job: JobQueued) -> None:
    """Whoever takes over brings the job to one run and one end."""
    await scheduler.expire_leases()
    await scheduler.dispatch_all()
    assert scheduler.cluster.submissions(job)[-1] == 1, "it is the same attempt"
    assert len(scheduler.cluster.runs_of(job)) == 1
    assert len({event.event_id for event in await _everything_recorded(scheduler, JobStarted, job)}) == 1
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def _everything_recorded(scheduler: Scheduler, event: type[JobStarted], job: JobQueued) -> list[JobStarted]:
    """What was recorded, whether a relay has sent it or not."""
    return [*await scheduler.recorded(event, job), *await scheduler.published(event, job)]


async def _what_is_known(scheduler: Scheduler) -> list[tuple[object, ...]]:
    known = await scheduler.pool.fetch(
        "SELECT q.state, a.state, a.fence, a.external_job_id, a.error FROM queue q JOIN attempts a USING (job_id)"
    )
    return [tuple(row) for row in known]


async def _asked(scheduler: Scheduler, times: int) -> bool:
    return len(scheduler.cluster.submitted) == times


async def _die(scheduler: Scheduler, failpoint: str) -> None:
    async with scheduler.process(failpoint) as process:
        assert await asyncio.wait_for(process.wait(), START_SECONDS) == -signal.SIGKILL


async def _ids(scheduler: Scheduler, job: JobQueued) -> list[object]:
    return [progress.event_id for progress in await scheduler.published(JobProgress, job)]


async def _submitted(scheduler: Scheduler, job: JobQueued) -> bool:
    return bool(scheduler.cluster.runs_of(job))


async def _outbox_is_sent(scheduler: Scheduler) -> bool:
    """Whether the job is over, and all of it is in Kafka."""
    over = await scheduler.pool.fetchval("SELECT bool_and(state = 'over') FROM queue")
    return bool(over) and await scheduler.pool.fetchval("SELECT count(*) FROM outbox") == 0
