"""Jobs go where their GPUs are, to clusters that answer and are not drained."""

import pytest

from brightrun.contracts.events import JobCompleted, JobQueued
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import GpuConfig, JobError, TrainingSpec
from brightrun.runtime.database import transaction
from brightrun.scheduler.clusters import actions
from brightrun.scheduler.queue.loops import refuse_impossible
from tests.builders import adapter_ref, dataset_ref
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import FakeCluster

CPU, H100 = GpuConfig(type="CPU"), GpuConfig(type="H100")
LOST = JobError(code="run_lost", message="The node went away.", retryable=True)


async def test_a_job_goes_to_the_cluster_that_has_its_gpus(scheduler: Scheduler, other: FakeCluster) -> None:
    here, there = await scheduler.queue(gpu=CPU), await scheduler.queue(gpu=H100)
    await scheduler.dispatch_all()
    assert (scheduler.cluster.submissions(here), other.submissions(here)) == ([1], [])
    assert (scheduler.cluster.submissions(there), other.submissions(there)) == ([], [1])


async def test_a_job_goes_where_enough_gpus_are_free(scheduler: Scheduler, other: FakeCluster) -> None:
    scheduler.cluster.gpus, other.gpus = {"CPU": (8, 2)}, {"CPU": (4, 3)}
    large, small = [await scheduler.queue(gpu=GpuConfig(type="CPU", count=count)) for count in (3, 2)]
    await scheduler.dispatch()
    assert other.submissions(large) == [1]
    assert scheduler.cluster.submissions(small) == [1]


async def test_no_more_is_sent_than_was_reported_free(scheduler: Scheduler) -> None:
    scheduler.cluster.gpus = {"CPU": (8, 5)}
    jobs = [await scheduler.queue(gpu=GpuConfig(type="CPU", count=2)) for _ in range(4)]
    await scheduler.probe()
    while await scheduler.decide():
        pass
    assert sum(len(scheduler.cluster.submissions(job)) for job in jobs) == 2


async def test_a_report_that_is_older_than_a_submission_does_not_free_its_gpus(scheduler: Scheduler) -> None:
    scheduler.cluster.gpus = {"CPU": (2, 2)}
    first, second = [await scheduler.queue(gpu=GpuConfig(type="CPU", count=2)) for _ in range(2)]
    await scheduler.probe()
    await scheduler.decide()
    await scheduler.pool.execute("UPDATE clusters SET asked_at = asked_at - interval '1 second'")
    assert not await scheduler.decide()
    scheduler.cluster.report(first, "completed")
    await scheduler.watch()
    assert await scheduler.dispatch()
    assert scheduler.cluster.submissions(second) == [1]


async def test_a_drained_cluster_gets_no_jobs_and_finishes_its_runs(scheduler: Scheduler) -> None:
    running = await scheduler.queue_live()
    async with transaction(scheduler.pool) as conn:
        await actions.set_drained(conn, "local", True)
    waiting = await scheduler.queue()
    assert not await scheduler.dispatch()
    scheduler.cluster.report(running, "completed")
    await scheduler.watch()
    assert len(await scheduler.recorded(JobCompleted, running)) == 1

    async with transaction(scheduler.pool) as conn:
        await actions.set_drained(conn, "local", False)
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(waiting) == [1]


async def test_a_silent_cluster_gets_no_jobs(scheduler: Scheduler, other: FakeCluster) -> None:
    other.gpus = {"CPU": (1, 1)}
    await scheduler.probe()
    scheduler.cluster.down = True
    await scheduler.pool.execute("UPDATE clusters SET answered_at = answered_at - interval '1 minute'")
    jobs = [await scheduler.queue() for _ in range(2)]
    await scheduler.dispatch()
    assert not await scheduler.decide()
    assert sum(len(other.submissions(job)) for job in jobs) == 1
    assert scheduler.cluster.submitted == []

    other.gpus = {"CPU": (1, 0)}
    scheduler.cluster.down = False
    await scheduler.dispatch()
    assert len(scheduler.cluster.submitted) == 1


@pytest.mark.parametrize("outcome", ["busy", "locked out"])
async def test_a_job_that_one_cluster_does_not_accept_goes_to_another(
    scheduler: Scheduler, other: FakeCluster, outcome
) -> None:
    other.gpus = {"CPU": (8, 8)}
    scheduler.cluster.gpus = {"CPU": (2, 2)}
    scheduler.cluster.outcomes.append(outcome)
    job = await scheduler.queue()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1]
    await scheduler.pool.execute("UPDATE queue SET not_before = now()")
    await scheduler.decide()
    assert other.submissions(job) == [1], "the first is left alone for a while"


async def test_an_unanswered_job_stays_with_the_cluster_that_may_have_it(
    scheduler: Scheduler, other: FakeCluster
) -> None:
    other.gpus = {"CPU": (8, 8)}
    scheduler.cluster.gpus = {"CPU": (2, 2)}
    scheduler.cluster.outcomes.extend(["broken after accepting", "busy"])
    job = await scheduler.queue()
    for _ in range(3):
        await scheduler.dispatch()
        await scheduler.expire_leases()
        await scheduler.end_pauses()
    assert scheduler.cluster.submissions(job) == [1, 1, 1]
    assert other.submissions(job) == []


async def test_a_job_for_gpus_that_no_cluster_has_is_rejected(scheduler: Scheduler, other: FakeCluster) -> None:
    strange = await scheduler.queue(gpu=GpuConfig(type="V100-32GB"))
    large = await scheduler.queue(gpu=GpuConfig(type="H100", count=8))
    await _refuse_impossible(scheduler)
    assert await scheduler.recorded(JobCompleted, strange) == [], "the other cluster has not reported yet"
    await scheduler.probe()
    fitting = await scheduler.queue(gpu=GpuConfig(type="H100", count=4))
    await _refuse_impossible(scheduler)
    assert await _error_of(scheduler, strange) == ("no_such_gpus", "No cluster has V100-32GB: there are CPU, H100.")
    assert await _error_of(scheduler, large) == ("no_such_gpus", "No cluster has more than 4 × H100.")
    assert await scheduler.recorded(JobCompleted, fitting) == []


async def test_a_job_for_a_base_model_that_no_cluster_has_is_rejected(scheduler: Scheduler) -> None:
    scheduler.cluster.features |= {"base_models": ("tiny",), "fetches_models": False}
    await scheduler.probe()
    scheduler.cluster.down = True
    await scheduler.pass_time(hours=1)
    unknown, path, fitting = [
        await scheduler.queue(spec=TrainingSpec(base_model=name)) for name in ("nope", "/etc", "tiny")
    ]
    await _refuse_impossible(scheduler)
    assert await _error_of(scheduler, unknown) == (
        "base_model_missing",
        "No cluster with these GPUs has nope: there are tiny.",
    )
    assert (await _error_of(scheduler, path))[0] == "base_model_missing"
    assert await scheduler.recorded(JobCompleted, fitting) == [], "the cluster may come back"


@pytest.mark.parametrize("foreign", [True, False])
async def test_a_job_goes_to_the_cluster_that_has_its_model_and_accepts_its_inputs(
    scheduler: Scheduler, other: FakeCluster, foreign: bool
) -> None:
    other.gpus, other.foreign = {"CPU": (1, 1)}, foreign
    other.features |= {"base_models": ("small",), "fetches_models": False, "inputs": False}
    scheduler.cluster.features |= {"base_models": ("tiny",), "fetches_models": False}
    jobs = [await scheduler.queue(**inputs) for inputs in ({"validation": dataset_ref()}, {"start": adapter_ref()})]
    await scheduler.dispatch_all()
    await _refuse_impossible(scheduler)
    assert [scheduler.cluster.submissions(job) for job in jobs] == [[1], [1]], "though the other has the better fit"
    small = await scheduler.queue(spec=TrainingSpec(base_model="small"))
    await scheduler.dispatch_all()
    assert (scheduler.cluster.submissions(small), other.submissions(small)) == ([], [1])


async def test_a_job_waits_for_a_node_that_is_down(scheduler: Scheduler) -> None:
    await scheduler.probe()
    scheduler.cluster.gpus = {"CPU": (4, 4)}
    await scheduler.probe()
    job = await scheduler.queue(gpu=GpuConfig(type="CPU", count=8))
    await _refuse_impossible(scheduler)
    assert not await scheduler.dispatch()
    assert await scheduler.recorded(JobCompleted, job) == []


async def test_a_foreign_cluster_gets_as_many_gpus_as_its_settings_name(
    scheduler: Scheduler, other: FakeCluster
) -> None:
    other.foreign = True
    await scheduler.add(other, gpu_types=["H100"], gpus=2)
    jobs = [await scheduler.queue(gpu=H100) for _ in range(3)]
    await scheduler.dispatch_all()
    assert [len(other.submissions(job)) for job in jobs] == [1, 1, 0]


async def test_a_foreign_cluster_without_settings_gets_jobs_until_it_is_busy(
    scheduler: Scheduler, other: FakeCluster
) -> None:
    other.foreign = True
    other.outcomes.extend([None, "busy"])
    jobs = [await scheduler.queue(gpu=H100) for _ in range(2)]
    await scheduler.dispatch()
    assert sorted(len(other.runs_of(job)) for job in jobs) == [0, 1]
    await scheduler.pool.execute("UPDATE queue SET not_before = now()")
    assert not await scheduler.decide()


@pytest.mark.parametrize("lost", ["the answer", "the scheduler"])
async def test_a_foreign_cluster_never_gets_an_attempt_twice(
    scheduler: Scheduler, other: FakeCluster, lost: str
) -> None:
    """It would start a second run; whether it has the first cannot be found out."""
    other.foreign = True
    other.outcomes.append("broken after accepting")
    job = await scheduler.queue(gpu=H100)
    if lost == "the answer":
        await scheduler.dispatch()
    else:
        other.may_respond.clear()
        await scheduler.probe()
        await scheduler.another().work()
        await scheduler.expire_leases()
        await scheduler.dispatch()
        other.may_respond.set()
    await scheduler.expire_leases()
    assert not await scheduler.dispatch()
    assert len(other.runs_of(job)) <= 1
    code, _ = await _error_of(scheduler, job)
    assert code == "answer_lost"


async def test_a_lost_run_resumes_from_its_checkpoint_on_its_cluster(scheduler: Scheduler, other: FakeCluster) -> None:
    other.gpus = {"CPU": (1, 1)}
    job = await _lose(scheduler, last_checkpoint_step=50)
    await scheduler.dispatch()
    assert other.submissions(job) == [], "though that has the better fit"
    assert scheduler.cluster.submitted[-1].resume_from == scheduler.cluster.run_of(job)


async def test_a_lost_run_without_a_checkpoint_starts_anywhere(scheduler: Scheduler, other: FakeCluster) -> None:
    other.gpus = {"CPU": (1, 1)}
    job = await _lose(scheduler)
    await scheduler.dispatch()
    assert other.submissions(job) == [2]
    assert other.submitted[-1].resume_from is None


async def test_a_lost_run_restarts_elsewhere_when_its_cluster_is_gone(scheduler: Scheduler, other: FakeCluster) -> None:
    other.gpus = {"CPU": (8, 8)}
    job = await _lose(scheduler, last_checkpoint_step=50)
    async with transaction(scheduler.pool) as conn:
        await actions.set_drained(conn, "local", True)
    await scheduler.dispatch()
    assert other.submissions(job) == [2]
    assert other.submitted[-1].resume_from is None


async def test_a_run_that_cannot_be_resumed_restarts(scheduler: Scheduler) -> None:
    job = await _lose(scheduler, last_checkpoint_step=50)
    scheduler.cluster.outcomes.append("not resumable")
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 2, 2]
    assert [body.resume_from is None for body in scheduler.cluster.submitted] == [True, False, True]
    assert len(scheduler.cluster.runs_of(job)) == 2


async def _lose(scheduler: Scheduler, **state) -> JobQueued:
    """A job whose first run, on the local cluster, was lost."""
    drained = [name for name in scheduler.clients if name != "local"]
    await scheduler.pool.execute("UPDATE clusters SET drained_at = now() WHERE name = ANY($1)", drained)
    job = await scheduler.queue_live()
    await scheduler.pool.execute("UPDATE clusters SET drained_at = NULL")
    scheduler.cluster.report(job, "failed", error=LOST, **state)
    await scheduler.watch()
    await scheduler.end_pauses()
    return job


async def _refuse_impossible(scheduler: Scheduler) -> None:
    await refuse_impossible(scheduler.pool, list(scheduler.clients))


async def _error_of(scheduler: Scheduler, job: JobQueued) -> tuple[str, str]:
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.outcome == JobStatus.FAILED
    assert completed.error
    return completed.error.code, completed.error.message
