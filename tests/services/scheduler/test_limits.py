"""A job's limits end its run in time, with all that it can deliver, and it never costs more than its cap."""

from datetime import timedelta
from decimal import Decimal

import pytest

from brightrun.contracts.events import BudgetReached, DurationReached, JobCompleted, JobPaused, JobQueued, Pricing
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError, TrainingSpec
from tests.builders import NOON
from tests.services.scheduler.conftest import Scheduler

PRICE = Pricing(hourly_rate=Decimal("3.60"), storage=Decimal("0.50"))
"""A tenth of a cent a second."""
CAP = Decimal("1.10")
"""600 seconds."""
LOST = JobError(code="run_lost", message="The node went away.", retryable=True)


async def live(scheduler: Scheduler, **limits) -> JobQueued:
    """A job of 3 epochs with these limits, which its cluster runs."""
    return await scheduler.queue_live(spec=TrainingSpec(**limits).resolved(), pricing=PRICE)


async def run_for(scheduler: Scheduler, job: JobQueued, seconds: float, *, attempt: int = 1, **state) -> None:
    """The cluster says that the run has trained for so long, in an event of that moment."""
    event = scheduler.cluster.report(job, "running", attempt=attempt, **{"started_at": NOON} | state)
    changed = event.model_copy(update={"at": event.run.started_at + timedelta(seconds=seconds)})
    scheduler.cluster.stream[-1] = changed
    await scheduler.watch()


@pytest.mark.parametrize(("limits", "limit"), [({"max_cost": CAP}, "budget"), ({"max_duration": 600}, "duration")])
async def test_a_run_finishes_before_its_limit_and_completes_its_job(scheduler: Scheduler, limits, limit: str) -> None:
    job = await live(scheduler, **limits)
    await run_for(scheduler, job, 100, checkpoint_seconds=20.0)
    assert not await scheduler.stop_limited()
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == []
    await scheduler.pass_time(seconds=440)
    assert not await scheduler.stop_limited(), "540 s, and ending takes 43"
    await scheduler.pass_time(seconds=18)
    assert await scheduler.stop_limited()
    assert not await scheduler.stop_limited()
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == [(scheduler.cluster.run_of(job), "finish")]

    ended = {"finished_at": NOON + timedelta(seconds=590), "stopped_early": True}
    scheduler.cluster.report(job, "completed", **ended)
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.stopped_by) == (JobStatus.COMPLETED, limit)
    assert completed.finished_at == NOON + timedelta(seconds=590)
    assert len(await scheduler.recorded(BudgetReached, job)) == (limit == "budget")
    assert len(await scheduler.recorded(DurationReached, job)) == (limit == "duration")


async def test_the_amount_spent_is_published_with_the_cap(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_cost=CAP)
    await run_for(scheduler, job, 100)
    await scheduler.pass_time(seconds=490)
    assert await scheduler.stop_limited()
    [reached] = await scheduler.recorded(BudgetReached, job)
    assert reached.cap == CAP
    assert PRICE.storage < reached.spent <= CAP


async def test_a_job_that_takes_longer_to_end_than_it_should_costs_its_cap(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_cost=CAP)
    await run_for(scheduler, job, 599)
    await scheduler.pass_time(seconds=1)
    await scheduler.stop_limited()
    scheduler.cluster.report(job, "completed", finished_at=NOON + timedelta(seconds=900), stopped_early=True)
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.pricing.total(completed.billed) + completed.pricing.storage == CAP
    assert completed.released_at == NOON + timedelta(seconds=900)
    assert [segment.seconds for segment in completed.billed] == [900], "what is not billed is recorded as well"


async def test_a_cap_below_the_storage_fee_is_all_that_a_job_costs(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_cost=Decimal("0.10"))
    scheduler.cluster.report(job, "completed", finished_at=NOON + timedelta(seconds=65), stopped_early=True)
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.pricing.total(completed.billed) + completed.pricing.storage == Decimal("0.10")
    assert [segment.seconds for segment in completed.billed] == [65]


async def test_a_run_that_ends_by_itself_is_not_marked_as_stopped(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_cost=CAP)
    await run_for(scheduler, job, 598)
    await scheduler.pass_time(seconds=2)
    await scheduler.stop_limited()
    scheduler.cluster.report(job, "completed", finished_at=NOON + timedelta(seconds=600))
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.stopped_by) == (JobStatus.COMPLETED, None)


async def test_a_run_without_a_limit_is_not_stopped(scheduler: Scheduler) -> None:
    job = await live(scheduler)
    await run_for(scheduler, job, 10**6)
    await scheduler.pass_time(days=300)
    assert not await scheduler.stop_limited()


async def test_a_wrong_cluster_clock_does_not_move_the_limit(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_duration=600)
    await run_for(scheduler, job, 100, started_at=NOON - timedelta(hours=7))
    stops_in = await scheduler.pool.fetchval("SELECT extract(epoch FROM stop_at - now())::float8 FROM attempts")
    assert 460 < stops_in < 500


async def test_a_cluster_without_finish_gets_a_cancel_signal(scheduler: Scheduler) -> None:
    scheduler.cluster.features |= {"stop_modes": ()}
    job = await live(scheduler, max_cost=CAP)
    await run_for(scheduler, job, 599)
    await scheduler.pass_time(seconds=1)
    await scheduler.stop_limited()
    await scheduler.stop_runs()
    assert scheduler.cluster.signals == [(scheduler.cluster.run_of(job), "cancel")]
    scheduler.cluster.report(job, "cancelled", finished_at=NOON + timedelta(seconds=600))
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.stopped_by) == (JobStatus.CANCELLED, "budget")


async def test_a_run_that_does_not_finish_is_cancelled(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_duration=60)
    await run_for(scheduler, job, 60)
    await scheduler.stop_limited()
    await scheduler.stop_runs()
    await scheduler.pass_time(minutes=11)
    await scheduler.stop_runs()
    assert [order for _, order in scheduler.cluster.signals] == ["finish", "cancel"]


async def test_training_before_a_pause_counts_against_the_limit(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_cost=CAP)
    await run_for(scheduler, job, 100)
    await scheduler.request_pause(job)
    scheduler.cluster.report(job, "cancelled", finished_at=NOON + timedelta(seconds=500), last_checkpoint_step=5)
    await scheduler.watch()
    assert len(await scheduler.recorded(JobPaused, job)) == 1
    await scheduler.request_resume(job)
    await scheduler.dispatch()
    await run_for(scheduler, job, 10, attempt=2)
    stops_in = await scheduler.pool.fetchval(
        "SELECT extract(epoch FROM stop_at - now())::float8 FROM attempts WHERE attempt = 2"
    )
    assert 40 <= stops_in < 90, "100 s are left, and a part of them is for ending"
    scheduler.cluster.report(
        job, "completed", attempt=2, finished_at=NOON + timedelta(seconds=900), stopped_early=True
    )  # fmt: skip
    await scheduler.watch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.pricing.total(completed.billed) + completed.pricing.storage == CAP


async def test_a_lost_attempt_does_not_count_against_the_limit(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_duration=600)
    await run_for(scheduler, job, 500)
    scheduler.cluster.report(job, "failed", error=LOST)
    await scheduler.watch()
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert await scheduler.pool.fetchval("SELECT allowed_seconds FROM attempts WHERE attempt = 2") == 600


async def test_a_pause_after_the_limit_lets_the_run_finish(scheduler: Scheduler) -> None:
    job = await live(scheduler, max_duration=60)
    await run_for(scheduler, job, 60)
    await scheduler.stop_limited()
    await scheduler.request_pause(job)
    await scheduler.stop_runs()
    assert [order for _, order in scheduler.cluster.signals] == ["finish"]
    scheduler.cluster.report(job, "completed", stopped_early=True)
    await scheduler.watch()
    assert [one.stopped_by for one in await scheduler.recorded(JobCompleted, job)] == ["duration"]
