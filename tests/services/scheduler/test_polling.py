"""A cluster that only speaks the original's API is asked for each run's status, and that is enough."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from brightrun.contracts.events import JobAttemptLost, JobCompleted, JobProgress, JobQueued, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import GpuConfig
from brightrun.contracts.values import utc_now
from tests.services import slices
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import KEY
from tests.services.scheduler.foreign_cluster import RECORDED, ForeignCluster

GPU = GpuConfig(type="A100-80GB", count=2)
RUNNING = RECORDED[3]
PAUSE = "SELECT extract(epoch FROM poll_at - now())::float8 FROM attempts"


@pytest_asyncio.fixture
async def theirs(scheduler: Scheduler) -> AsyncIterator[ForeignCluster]:
    """A foreign cluster beside ours, which has other GPUs."""
    cluster = ForeignCluster()
    async with slices.serve(cluster.app) as cluster.url:
        await scheduler.add(cluster, gpu_types=("A100-80GB",), gpus=8)  # type: ignore[arg-type]
        yield cluster


async def live(scheduler: Scheduler, theirs: ForeignCluster, *answers, **changes) -> JobQueued:
    """A job that the foreign cluster runs, and what its status will show."""
    job = await scheduler.queue(gpu=GPU, **changes)
    await scheduler.dispatch()
    assert theirs.run_of(job)
    if answers:
        theirs.show(job, *answers)
    return job


async def test_a_whole_training_is_observed_by_polling(scheduler: Scheduler, theirs: ForeignCluster) -> None:
    job = await live(scheduler, theirs, *RECORDED)
    [body] = theirs.submitted
    assert (body["job_id"], body["gpu_config"]) == (str(job.job_id), {"type": "A100-80GB", "count": 2})
    assert body["hyperparameters"]["base_model"] == job.spec.base_model
    [started] = await scheduler.recorded(JobStarted, job)
    assert (started.cluster, started.external_job_id, started.pausable) == ("theirs", theirs.run_of(job), False)

    began = utc_now()
    for _ in range(len(RECORDED) + 2):
        await scheduler.poll_now("theirs")
    assert theirs.asked[theirs.run_of(job)] == len(RECORDED), "a run that is over is not polled"
    progress = await scheduler.recorded(JobProgress, job)
    assert [one.seq for one in progress] == list(range(1, len(progress) + 1))
    assert len({one.event_id for one in progress}) == len(progress)
    assert [one.status for one in progress] == [JobStatus.INITIALIZING] * 2 + [JobStatus.RUNNING] * 3
    assert [one.stage for one in progress][1:3] == ["loading_model", "training"]
    assert [(point.step, point.training_loss) for one in progress for point in one.points] == [
        (25, 1.91), (100, 1.22), (200, 0.87)]  # fmt: skip
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.cluster) == (JobStatus.COMPLETED, "theirs")
    assert completed.external_job_id == theirs.run_of(job)
    assert completed.started_at
    assert began <= completed.started_at <= completed.finished_at <= utc_now()
    assert progress[-1].started_at == completed.started_at


async def test_a_run_is_polled_when_due_and_less_often_while_nothing_changes(
    scheduler: Scheduler, theirs: ForeignCluster
) -> None:
    job = await live(scheduler, theirs, RUNNING)
    await scheduler.poll("theirs")
    await scheduler.poll("theirs")
    assert theirs.asked[theirs.run_of(job)] == 1
    pauses = []
    for _ in range(8):
        await scheduler.poll_now("theirs")
        pauses.append(round(await scheduler.pool.fetchval(PAUSE)))
    assert pauses == [4, 8, 16, 32, 60, 60, 60, 60]
    theirs.show(job, RECORDED[2])
    await scheduler.poll_now("theirs")
    assert await scheduler.pool.fetchval(PAUSE) <= 2


async def test_two_schedulers_make_each_event_once(scheduler: Scheduler, theirs: ForeignCluster) -> None:
    jobs = [await live(scheduler, theirs, *RECORDED) for _ in range(3)]
    for _ in range(2 * len(RECORDED)):
        await asyncio.gather(scheduler.poll_now("theirs"), scheduler.poll_now("theirs"))
    for job in jobs:
        progress = await scheduler.recorded(JobProgress, job)
        assert [one.seq for one in progress] == list(range(1, len(progress) + 1))
        points = [point.step for one in progress for point in one.points]
        assert points == sorted(set(points))
        assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_a_late_response_changes_nothing(scheduler: Scheduler, theirs: ForeignCluster) -> None:
    """Another scheduler has written down a newer one meanwhile."""
    job = await live(scheduler, theirs, RUNNING)
    release, arrived = asyncio.Event(), asyncio.Event()
    ask = scheduler.clients["theirs"].status

    async def slow(run: str):
        answer = await ask(run)
        arrived.set()
        await release.wait()
        return answer

    scheduler.clients["theirs"].status = slow  # type: ignore[method-assign]
    late = asyncio.create_task(scheduler.poll("theirs"))
    await arrived.wait()
    scheduler.clients["theirs"].status = ask  # type: ignore[method-assign]
    theirs.show(job, RECORDED[4])
    await scheduler.poll_now("theirs")
    before = await scheduler.recorded(JobProgress, job)
    release.set()
    await late
    assert await scheduler.recorded(JobProgress, job) == before
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_a_run_that_the_cluster_forgets_is_retried(scheduler: Scheduler, theirs: ForeignCluster) -> None:
    job = await live(scheduler, theirs, RUNNING, 404, RUNNING, 404)
    for _ in range(5):
        await scheduler.poll_now("theirs")
    assert await scheduler.recorded(JobAttemptLost, job) == [], "it was not gone three times in a row"
    await scheduler.poll_now("theirs")
    [lost] = await scheduler.recorded(JobAttemptLost, job)
    assert (lost.attempt, lost.cluster, lost.error.code) == (1, "theirs", "run_gone")
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert len(theirs.submitted) == 2
    for answer in RECORDED[1:]:
        theirs.show(job, answer)
        await scheduler.poll_now("theirs")
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.segments) == (JobStatus.COMPLETED, 2, ())


@pytest.mark.parametrize("answer", [500, 401, {"status": None}, {"status": 7}])
async def test_an_unusable_response_changes_nothing(scheduler: Scheduler, theirs: ForeignCluster, answer) -> None:
    job = await live(scheduler, theirs, RUNNING, answer, RECORDED[4])
    for _ in range(3):
        await scheduler.poll_now("theirs")
    assert [one.outcome for one in await scheduler.recorded(JobCompleted, job)] == [JobStatus.COMPLETED]
    assert await scheduler.recorded(JobAttemptLost, job) == []


async def test_a_failed_run_fails_its_job_with_the_clusters_message(
    scheduler: Scheduler, theirs: ForeignCluster
) -> None:
    job = await live(scheduler, theirs, {"status": "failed", "error_message": "CUDA out of memory"})
    await scheduler.poll_now("theirs")
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.outcome is JobStatus.FAILED
    assert completed.error
    assert completed.error.message == "CUDA out of memory"


async def test_a_cancelled_run_is_stopped_and_polled_to_its_end(scheduler: Scheduler, theirs: ForeignCluster) -> None:
    job = await live(scheduler, theirs, RUNNING)
    await scheduler.poll("theirs")
    await scheduler.request_cancel(job)
    await scheduler.stop_runs("theirs")
    assert theirs.cancelled == {theirs.run_of(job): 1}
    await scheduler.poll("theirs")
    assert [one.outcome for one in await scheduler.recorded(JobCompleted, job)] == [JobStatus.CANCELLED]


async def test_a_limit_ends_a_run_that_cannot_finish_early_as_cancelled(
    scheduler: Scheduler, theirs: ForeignCluster
) -> None:
    job = await live(scheduler, theirs, RUNNING)
    limited = job.spec.model_copy(update={"max_duration": 60})
    job = await live(scheduler, theirs, RUNNING, spec=limited)
    await scheduler.poll("theirs")
    assert not await scheduler.stop_limited()
    await scheduler.pass_time(seconds=50)
    assert await scheduler.stop_limited()
    await scheduler.stop_runs("theirs")
    await scheduler.poll("theirs")
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.stopped_by) == (JobStatus.CANCELLED, "duration")


async def test_a_pause_waits_for_a_cluster_that_can_save(scheduler: Scheduler, theirs: ForeignCluster) -> None:
    """The run would be lost; it goes on to its end."""
    job = await live(scheduler, theirs, *RECORDED)
    await scheduler.request_pause(job)
    await scheduler.stop_runs("theirs")
    assert not theirs.cancelled
    for _ in RECORDED:
        await scheduler.poll_now("theirs")
    assert [one.outcome for one in await scheduler.recorded(JobCompleted, job)] == [JobStatus.COMPLETED]


@pytest.mark.parametrize("failpoint", ["poll.read", "poll.applied"])
async def test_a_scheduler_killed_while_it_polls_publishes_each_event_once(
    scheduler: Scheduler, theirs: ForeignCluster, failpoint: str
) -> None:
    job = await live(scheduler, theirs, RECORDED[2])
    also = json.dumps([{"name": "theirs", "url": theirs.url, "key": KEY, "gpu_types": ["A100-80GB"], "gpus": 8}])
    async with scheduler.process(failpoint, CLUSTERS=also) as process:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    assert await scheduler.recorded(JobProgress, job) == []
    for answer in (RECORDED[2], RECORDED[3], RECORDED[4]):
        theirs.show(job, answer)
        await scheduler.poll_now("theirs")
    progress = await scheduler.recorded(JobProgress, job)
    assert [one.seq for one in progress] == [1, 2, 3]
    assert [point.step for one in progress for point in one.points] == [25, 100, 200]
    assert len(await scheduler.recorded(JobCompleted, job)) == 1
