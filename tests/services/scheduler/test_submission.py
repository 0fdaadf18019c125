"""One run for each attempt, whatever the cluster responds and however late."""

import asyncio

import pytest

from brightrun.cluster_client.responses import Busy
from brightrun.contracts.events import JobCompleted, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.runtime.database import transaction
from brightrun.scheduler.queue.loops import refuse_impossible
from brightrun.scheduler.submission import actions
from tests.builders import adapter_ref, dataset_ref
from tests.services.scheduler.conftest import CALLBACKS, Scheduler
from tests.services.scheduler.fakes import SubmissionOutcome
from tests.waiting import eventually


async def test_a_job_is_submitted_with_its_spec_and_gpus(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    [body] = scheduler.cluster.submitted
    assert (body.job_id, body.attempt, body.hyperparameters, body.gpu_config) == (job.job_id, 1, job.spec, job.gpu)
    assert body.dataset_url == f"https://store/{job.dataset.dataset_id}"
    assert body.callback_url == CALLBACKS
    [started] = await scheduler.recorded(JobStarted, job)
    assert (started.attempt, started.cluster, started.external_job_id) == (1, "local", scheduler.cluster.run_of(job))


async def test_a_run_gets_its_validation_data_and_starting_adapter(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live(validation=dataset_ref(sha256="cd" * 32), start=adapter_ref())
    assert job.validation
    assert job.start
    [body] = scheduler.cluster.submitted
    assert body.dataset_sha256 == job.dataset.sha256
    assert body.validation
    assert (body.validation.url, body.validation.sha256) == (f"https://store/{job.validation.dataset_id}", "cd" * 32)
    assert [(file.name, file.url, file.sha256) for file in body.adapter] == [
        (file.name, f"https://store/{job.start.artifact_id}/{file.name}", file.sha256) for file in job.start.files
    ]


async def test_a_completed_job_names_its_inputs(scheduler: Scheduler) -> None:
    job = await scheduler.queue(validation=dataset_ref(), start=adapter_ref())
    await scheduler.request_cancel(job)
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.validation, completed.start) == (job.validation, job.start)


async def test_a_cluster_without_inputs_gets_no_job_that_has_some(scheduler: Scheduler) -> None:
    del scheduler.cluster.features["inputs"]
    jobs = [await scheduler.queue(**given) for given in ({"validation": dataset_ref()}, {"start": adapter_ref()}, {})]
    await scheduler.dispatch_all()
    assert [body.job_id for body in scheduler.cluster.submitted] == [jobs[2].job_id]
    await refuse_impossible(scheduler.pool, list(scheduler.clients))
    for job in jobs[:2]:
        [completed] = await scheduler.recorded(JobCompleted, job)
        assert completed.error
        assert (completed.outcome, completed.error.code) == (JobStatus.FAILED, "inputs_unsupported")


@pytest.mark.parametrize(("gone", "code"), [("validation", "dataset_not_found"), ("start", "model_not_found")])
async def test_a_job_whose_input_is_gone_fails_and_names_it(scheduler: Scheduler, gone: str, code: str) -> None:
    job = await scheduler.queue(validation=dataset_ref(), start=adapter_ref(name="Old harbour"))
    assert job.validation
    assert job.start
    del scheduler.artifacts.owners[job.validation.dataset_id if gone == "validation" else job.start.artifact_id]
    await scheduler.dispatch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.error
    assert completed.error.code == code
    assert ("Old harbour" if gone == "start" else "validation data set") in completed.error.message
    assert scheduler.cluster.submitted == []


async def test_urls_are_signed_once_for_many_jobs_of_the_same_inputs(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live(validation=dataset_ref(), start=adapter_ref())
    signed = scheduler.artifacts.signed
    await scheduler.queue_live(user_id=job.user_id, dataset=job.dataset, validation=job.validation, start=job.start)
    assert (signed, scheduler.artifacts.signed) == (3, 3)


async def test_a_cluster_that_fails_after_it_accepted_has_one_run(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.append("broken after accepting")
    job = await scheduler.queue()
    assert await scheduler.dispatch()
    assert not await scheduler.dispatch(), "the submission is repeated after a pause only"
    assert await scheduler.recorded(JobStarted, job) == []

    await scheduler.expire_leases()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 1]
    assert len(scheduler.cluster.runs_of(job)) == 1
    assert len(await scheduler.recorded(JobStarted, job)) == 1


async def test_a_job_for_a_busy_cluster_is_resubmitted_as_the_same_attempt(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.extend(["busy", "busy"])
    job = await scheduler.queue()
    for _ in range(2):
        assert await scheduler.dispatch()
        assert not await scheduler.dispatch(), "a busy cluster is left alone for a while"
        await scheduler.end_pauses()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 1, 1]
    assert [started.attempt for started in await scheduler.recorded(JobStarted, job)] == [1]
    assert await scheduler.recorded(JobCompleted, job) == []


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (
            "unsupported",
            "unsupported",
            "The cluster cannot run that; the details say what it has. gpu_config.type: this cluster has CPU",
        ),
        ("plain rejection", "rejected_by_cluster", "The cluster refused the job: no such model"),
        ("foreign rejection", "rejected_by_cluster", 'The cluster refused the job: {"detail":"no such model"}'),
    ],
)
async def test_a_rejected_job_fails_with_the_clusters_message(
    scheduler: Scheduler, outcome: SubmissionOutcome, code: str, words: str
) -> None:
    scheduler.cluster.outcomes.append(outcome)
    job = await scheduler.queue()
    await scheduler.dispatch()
    await scheduler.expire_leases()
    assert not await scheduler.dispatch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.started_at) == (JobStatus.FAILED, 1, None)
    assert completed.error
    assert (completed.error.code, completed.error.message) == (code, words)
    assert await scheduler.recorded(JobStarted, job) == []


async def test_a_job_whose_data_set_is_gone_fails_without_a_submission(scheduler: Scheduler) -> None:
    job = await scheduler.queue()
    scheduler.artifacts.owners.clear()
    await scheduler.dispatch()
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert completed.outcome == JobStatus.FAILED
    assert completed.error
    assert completed.error.code == "dataset_not_found"
    assert scheduler.cluster.submissions(job) == []


async def test_a_job_waits_for_the_artifacts_service(scheduler: Scheduler) -> None:
    scheduler.artifacts.down = True
    job = await scheduler.queue()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == []
    scheduler.artifacts.down = False
    await scheduler.end_pauses()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1]
    assert await scheduler.recorded(JobCompleted, job) == []


@pytest.mark.parametrize("outcome", ["busy", "unsupported", "broken after accepting", None])
async def test_a_scheduler_delayed_past_its_lease_changes_nothing(
    scheduler: Scheduler, outcome: SubmissionOutcome | None
) -> None:
    job, paused = await _pause_a_submission(scheduler, outcome)
    await scheduler.expire_leases()
    successor = scheduler.another()
    assert await successor.take_over()
    await eventually(lambda: _submitted(scheduler, 2))
    scheduler.cluster.may_respond.set()
    await successor.idle()
    await paused
    await _runs_on(scheduler)
    assert len(scheduler.cluster.runs_of(job)) == 1
    assert len(await scheduler.recorded(JobStarted, job)) == 1
    assert await scheduler.recorded(JobCompleted, job) == []


@pytest.mark.parametrize("outcome", ["busy", "unsupported"])
async def test_a_fence_is_not_reused_after_a_give_back(scheduler: Scheduler, outcome: SubmissionOutcome) -> None:
    job, paused = await _pause_a_submission(scheduler, outcome)
    await scheduler.expire_leases()
    async with transaction(scheduler.pool) as conn:
        [successor] = await actions.take_over(conn, {"local": 8})
        await actions.apply_submissions(conn, [(successor, Busy())])
    await scheduler.end_pauses()
    async with transaction(scheduler.pool) as conn:
        [third] = await actions.lease(conn, {"local": 8}, None)
    scheduler.cluster.may_respond.set()
    await paused
    assert await _lease_of(scheduler) == ("submitting", third.attempt.fence)
    assert await scheduler.recorded(JobCompleted, job) == []


async def test_a_response_after_the_end_of_the_run_changes_nothing(scheduler: Scheduler) -> None:
    job, paused = await _pause_a_submission(scheduler, None)
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    scheduler.cluster.may_respond.set()
    await paused
    assert (await _lease_of(scheduler))[0] == "over"
    assert len(await scheduler.recorded(JobStarted, job)) == 1
    assert len(await scheduler.recorded(JobCompleted, job)) == 1


async def test_a_run_that_starts_after_the_give_back_starts_the_job(scheduler: Scheduler) -> None:
    scheduler.cluster.outcomes.append("busy")
    job = await scheduler.queue()
    await scheduler.dispatch()
    scheduler.cluster.report(job, "running")
    await scheduler.watch()
    await scheduler.end_pauses()
    assert not await scheduler.dispatch(), "it runs already"
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert len(await scheduler.recorded(JobStarted, job)) == 1
    [completed] = await scheduler.recorded(JobCompleted, job)
    assert (completed.outcome, completed.attempt) == (JobStatus.COMPLETED, 1)


async def _pause_a_submission(scheduler: Scheduler, outcome: SubmissionOutcome | None):
    """A job whose first submission hangs and will be answered with `outcome`."""
    scheduler.cluster.outcomes.append(outcome)
    scheduler.cluster.may_respond.clear()
    job = await scheduler.queue()
    paused = asyncio.create_task(scheduler.dispatch())
    await eventually(lambda: _submitted(scheduler, 1))
    return job, paused


async def _submitted(scheduler: Scheduler, times: int) -> bool:
    return len(scheduler.cluster.submitted) == times


async def _runs_on(scheduler: Scheduler) -> None:
    """Nothing of the job is left to be submitted."""
    await scheduler.expire_leases()
    await scheduler.end_pauses()
    assert not await scheduler.dispatch()


async def _lease_of(scheduler: Scheduler) -> tuple[str, int]:
    row = await scheduler.pool.fetchrow("SELECT state, fence FROM attempts")
    return row["state"], row["fence"]
