"""The scheduler's process and the cluster's, with simulated trainings: pauses, limits, cancellations, orphans."""

import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from brightrun.contracts.event import Event
from brightrun.contracts.events import (
    BudgetReached,
    JobAttemptLost,
    JobCompleted,
    JobEvent,
    JobPaused,
    JobProgress,
    JobQueued,
    JobStarted,
    Pricing,
)
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import TrainingSpec
from tests.builders import dataset_ref, job_cancel_requested, job_pause_requested, job_queued, job_resume_requested
from tests.services.cluster.platform import CALLBACK_SECRET, FakePlatform
from tests.services.cluster.service import KEY, ClusterService
from tests.services.scheduler.conftest import Scheduler
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real-cluster")]

STEPS_PER_SECOND = 50


@pytest.fixture(scope="module")
def platform() -> Iterator[FakePlatform]:
    platform = FakePlatform()
    yield platform
    platform.close()


@pytest_asyncio.fixture
async def cluster(tmp_path: Path, platform: FakePlatform) -> AsyncIterator[ClusterService]:
    """A cluster service that simulates and is not started yet."""
    cluster = ClusterService(tmp_path, platform)
    cluster.settings = {"executor": "simulated", "simulated_steps_per_second": STEPS_PER_SECOND, "slots": 4}
    yield cluster
    await cluster.close()


@pytest_asyncio.fixture
async def running(scheduler: Scheduler, cluster: ClusterService) -> AsyncIterator[Scheduler]:
    """The scheduler as a process, with that cluster."""
    await cluster.start()
    async with scheduler.process(**settings_of(cluster)):
        yield scheduler


def settings_of(cluster: ClusterService) -> dict[str, str]:
    return {"CLUSTER_URL": str(cluster.http.base_url), "CLUSTER_KEY": KEY, "CALLBACK_SECRET": CALLBACK_SECRET}


async def submit(scheduler: Scheduler, cluster: ClusterService, **changes) -> JobQueued:
    content = b"{}\n" * 20
    dataset = dataset_ref(sha256=hashlib.sha256(content).hexdigest())
    spec = TrainingSpec(max_steps=100_000, save_steps=10).resolved()
    job = job_queued(**{"spec": spec, "dataset": dataset} | changes)
    scheduler.artifacts.hold(job)
    scheduler.artifacts.urls[job.dataset.dataset_id] = cluster.platform.add_dataset(content)
    await scheduler.bus.publish([job])
    return job


async def hear(scheduler: Scheduler, event: type[JobEvent], job: JobQueued, count: int = 1) -> list[Event]:
    """The first so many events of the job, once Kafka has them."""

    async def published() -> list[Event] | None:
        found = await scheduler.published(event, job)
        return found if len(found) >= count else None

    return await eventually(published)


async def train_to(scheduler: Scheduler, job: JobQueued, step: int, attempt: int = 1) -> None:
    async def there() -> bool:
        return any(
            one.step >= step and one.attempt == attempt for one in await scheduler.published(JobProgress, job)
        )  # fmt: skip

    await eventually(there)


async def test_a_paused_training_resumes_and_every_step_is_published(
    running: Scheduler, cluster: ClusterService
) -> None:
    job = await submit(running, cluster, spec=TrainingSpec(max_steps=400).resolved())
    await train_to(running, job, 60)
    await running.bus.publish([job_pause_requested(job_id=job.job_id, user_id=job.user_id)])
    [paused] = await hear(running, JobPaused, job)
    assert 60 <= paused.step < 400
    assert len(paused.billed) == 1
    assert (await cluster.capacity()).free_gpus == 4
    await running.bus.publish([job_resume_requested(job_id=job.job_id, user_id=job.user_id)])
    [completed] = await hear(running, JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.segments) == (JobStatus.COMPLETED, 2, paused.billed)
    assert [one.attempt for one in await running.published(JobStarted, job)] == [1, 2]

    async def all_published() -> bool:
        progress = {event.event_id: event for event in await running.published(JobProgress, job)}.values()
        steps = {
            attempt: {p.step for event in progress if event.attempt == attempt for p in event.points}
            for attempt in (1, 2)
        }
        assert steps[1] == set(range(1, paused.step + 1))
        assert steps[2] == set(range(paused.step + 1, 401)), "nothing is trained twice"
        return True

    await eventually(all_published)


async def test_a_budget_ends_a_training_with_an_adapter_and_is_not_exceeded(
    running: Scheduler, cluster: ClusterService
) -> None:
    cap, price = Decimal("8.50"), Pricing(hourly_rate=Decimal(3600), storage=Decimal("0.50"))
    spec = TrainingSpec(max_steps=100_000, max_cost=cap).resolved()
    job = await submit(running, cluster, spec=spec, pricing=price)
    [completed] = await hear(running, JobCompleted, job)
    assert (completed.outcome, completed.stopped_by) == (JobStatus.COMPLETED, "budget")
    assert price.storage < price.total(completed.billed) <= cap - price.storage
    [reached] = await running.published(BudgetReached, job)
    assert price.storage < reached.spent <= reached.cap == cap
    artifacts = await cluster.artifacts(completed.external_job_id)
    assert artifacts.model_metadata["stopped_early"] is True
    assert "adapter_model.safetensors" in artifacts.download_urls


async def test_a_training_is_cancelled_within_five_seconds(running: Scheduler, cluster: ClusterService) -> None:
    job = await submit(running, cluster)
    await train_to(running, job, 20)
    began = time.monotonic()
    await running.bus.publish([job_cancel_requested(job_id=job.job_id, user_id=job.user_id)])
    [completed] = await hear(running, JobCompleted, job)
    assert time.monotonic() - began < 5
    assert completed.outcome is JobStatus.CANCELLED
    assert (await cluster.checkpoints(completed.external_job_id))[-1].step >= 20


async def test_a_cancellation_racing_an_end_leaves_one_end(running: Scheduler, cluster: ClusterService) -> None:
    """The run's length is about as long as it takes to be cancelled."""
    jobs = [await submit(running, cluster, spec=TrainingSpec(max_steps=steps).resolved()) for steps in (5, 40, 80, 160)]
    for job in jobs:
        await hear(running, JobStarted, job)
        await running.bus.publish([job_cancel_requested(job_id=job.job_id, user_id=job.user_id)])
    for job in jobs:
        [completed] = await hear(running, JobCompleted, job)
        run = await cluster.status(completed.external_job_id)
        assert run.status == completed.outcome


async def test_a_run_given_up_is_stopped_when_its_cluster_returns(
    scheduler: Scheduler, cluster: ClusterService
) -> None:
    await cluster.start_process()
    async with scheduler.process(**settings_of(cluster)):
        job = await submit(scheduler, cluster)
        [started] = await hear(scheduler, JobStarted, job)
        await train_to(scheduler, job, 20)
    cluster.kill()
    async with scheduler.process(**settings_of(cluster), CLUSTER_SILENCE_SECONDS="15"):
        [lost] = await hear(scheduler, JobAttemptLost, job)
        assert lost.error.code == "cluster_silent"
    await cluster.start_process()
    await cluster.reaches(started.external_job_id, "running")
    async with scheduler.process(**settings_of(cluster)):
        [_, again] = await hear(scheduler, JobStarted, job, 2)
        await cluster.reaches(started.external_job_id, "cancelled")
        assert (await cluster.status(again.external_job_id)).status == "running"
    assert [one.attempt for one in await scheduler.published(JobProgress, job)][-1] == 2
