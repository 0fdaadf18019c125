"""One run for each attempt, whatever the cluster answers and whoever is late."""

import asyncio

import pytest

from brightrun.cluster_client.responses import Busy
from brightrun.contracts.events import JobCompleted, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.runtime.database import transaction
from brightrun.scheduler.submission import actions
from tests.builders import adapter_ref, dataset_ref
from tests.services.scheduler.conftest import CALLBACKS, Scheduler
from tests.services.scheduler.fakes import Mood
from tests.waiting import eventually


async def test_a_job_is_submitted_as_its_user_asked(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live()
    [body] = scheduler.cluster.submitted
    assert (body.job_id, body.attempt, body.hyperparameters, body.gpu_config) == (job.job_id, 1, job.spec, job.gpu)
    assert body.dataset_url == f"https://store/{job.dataset.dataset_id}"
    assert body.callback_url == CALLBACKS
    [started] = await scheduler.said(JobStarted, job)
    assert (started.attempt, started.cluster, started.external_job_id) == (1, "local", scheduler.cluster.run_of(job))


async def test_a_run_is_given_its_validation_data_and_the_adapter_to_start_from(scheduler: Scheduler) -> None:
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


async def test_what_a_job_was_given_is_told_at_its_end(scheduler: Scheduler) -> None:
    job = await scheduler.queue(validation=dataset_ref(), start=adapter_ref())
    await scheduler.request_cancel(job)
    [completed] = await scheduler.said(JobCompleted, job)
    assert (completed.validation, completed.start) == (job.validation, job.start)


async def test_a_cluster_that_would_not_look_at_them_is_given_neither(scheduler: Scheduler) -> None:
    del scheduler.cluster.features["inputs"]
    jobs = [await scheduler.queue(**given) for given in ({"validation": dataset_ref()}, {"start": adapter_ref()}, {})]
    await scheduler.dispatch_all()
    assert [body.job_id for body in scheduler.cluster.submitted] == [jobs[2].job_id]
    for job in jobs[:2]:
        [completed] = await scheduler.said(JobCompleted, job)
        assert completed.error
        assert (completed.outcome, completed.error.code) == (JobStatus.FAILED, "inputs_unsupported")


@pytest.mark.parametrize(("gone", "code"), [("validation", "dataset_not_found"), ("start", "model_not_found")])
async def test_a_job_that_lacks_what_it_was_to_be_given_fails_and_says_what(
    scheduler: Scheduler, gone: str, code: str
) -> None:
    job = await scheduler.queue(validation=dataset_ref(), start=adapter_ref(name="Old harbour"))
    assert job.validation
    assert job.start
    del scheduler.artifacts.owners[job.validation.dataset_id if gone == "validation" else job.start.artifact_id]
    await scheduler.dispatch()
    [completed] = await scheduler.said(JobCompleted, job)
    assert completed.error
    assert completed.error.code == code
    assert ("Old harbour" if gone == "start" else "validation data set") in completed.error.message
    assert scheduler.cluster.submitted == []


async def test_urls_are_signed_once_for_many_jobs_of_the_same_inputs(scheduler: Scheduler) -> None:
    job = await scheduler.queue_live(validation=dataset_ref(), start=adapter_ref())
    signed = scheduler.artifacts.signed
    await scheduler.queue_live(user_id=job.user_id, dataset=job.dataset, validation=job.validation, start=job.start)
    assert (signed, scheduler.artifacts.signed) == (3, 3)


async def test_a_cluster_that_breaks_after_it_accepted_has_one_run(scheduler: Scheduler) -> None:
    scheduler.cluster.moods.append("broken after accepting")
    job = await scheduler.queue()
    assert await scheduler.dispatch()
    assert not await scheduler.dispatch(), "the submission is repeated after a pause only"
    assert await scheduler.said(JobStarted, job) == []

    await scheduler.let_leases_lapse()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 1]
    assert len(scheduler.cluster.runs_of(job)) == 1
    assert len(await scheduler.said(JobStarted, job)) == 1


async def test_a_job_that_finds_the_cluster_busy_is_submitted_later_as_the_same_attempt(scheduler: Scheduler) -> None:
    scheduler.cluster.moods.extend(["busy", "busy"])
    job = await scheduler.queue()
    for _ in range(2):
        assert await scheduler.dispatch()
        assert not await scheduler.dispatch(), "a busy cluster is left alone for a while"
        await scheduler.let_pauses_end()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1, 1, 1]
    assert [started.attempt for started in await scheduler.said(JobStarted, job)] == [1]
    assert await scheduler.said(JobCompleted, job) == []


@pytest.mark.parametrize(
    ("mood", "code", "words"),
    [
        (
            "unsupported",
            "unsupported",
            "The cluster cannot run that; the details say what it has. gpu_config.type: this cluster has CPU",
        ),
        ("plain refusal", "rejected_by_cluster", "The cluster refused the job: no such model"),
        ("foreign refusal", "rejected_by_cluster", 'The cluster refused the job: {"detail":"no such model"}'),
    ],
)
async def test_a_refused_job_fails_with_the_clusters_words(
    scheduler: Scheduler, mood: Mood, code: str, words: str
) -> None:
    scheduler.cluster.moods.append(mood)
    job = await scheduler.queue()
    await scheduler.dispatch()
    await scheduler.let_leases_lapse()
    assert not await scheduler.dispatch()
    [completed] = await scheduler.said(JobCompleted, job)
    assert (completed.outcome, completed.attempt, completed.started_at) == (JobStatus.FAILED, 1, None)
    assert completed.error
    assert (completed.error.code, completed.error.message) == (code, words)
    assert await scheduler.said(JobStarted, job) == []


async def test_a_job_whose_data_set_is_gone_fails_without_a_submission(scheduler: Scheduler) -> None:
    job = await scheduler.queue()
    scheduler.artifacts.owners.clear()
    await scheduler.dispatch()
    [completed] = await scheduler.said(JobCompleted, job)
    assert completed.outcome == JobStatus.FAILED
    assert completed.error
    assert completed.error.code == "dataset_not_found"
    assert scheduler.cluster.submissions(job) == []


async def test_a_job_waits_for_the_artifacts_service_to_come_back(scheduler: Scheduler) -> None:
    scheduler.artifacts.down = True
    job = await scheduler.queue()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == []
    scheduler.artifacts.down = False
    await scheduler.let_pauses_end()
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1]
    assert await scheduler.said(JobCompleted, job) == []


@pytest.mark.parametrize("mood", ["busy", "unsupported", "broken after accepting", None])
async def test_a_scheduler_that_was_paused_past_its_lease_changes_nothing(
    scheduler: Scheduler, mood: Mood | None
) -> None:
    job, paused = await _pause_a_submission(scheduler, mood)
    await scheduler.let_leases_lapse()
    successor = scheduler.another()
    assert await successor.take_over()
    await eventually(lambda: _submitted(scheduler, 2))
    scheduler.cluster.open_for_answers.set()
    await successor.idle()
    await paused
    await _runs_on(scheduler)
    assert len(scheduler.cluster.runs_of(job)) == 1
    assert len(await scheduler.said(JobStarted, job)) == 1
    assert await scheduler.said(JobCompleted, job) == []


@pytest.mark.parametrize("mood", ["busy", "unsupported"])
async def test_a_fence_is_not_used_again_after_a_give_back(scheduler: Scheduler, mood: Mood) -> None:
    job, paused = await _pause_a_submission(scheduler, mood)
    await scheduler.let_leases_lapse()
    async with transaction(scheduler.pool) as conn:
        [successor] = await actions.take_over(conn, {"local": 8})
        await actions.apply_submissions(conn, [(successor, Busy())])
    await scheduler.let_pauses_end()
    async with transaction(scheduler.pool) as conn:
        [third] = await actions.lease(conn, {"local": 8}, None, 8)
    scheduler.cluster.open_for_answers.set()
    await paused
    assert await _lease_of(scheduler) == ("submitting", third.attempt.fence)
    assert await scheduler.said(JobCompleted, job) == []


async def test_an_answer_that_comes_after_the_end_of_the_run_changes_nothing(scheduler: Scheduler) -> None:
    job, paused = await _pause_a_submission(scheduler, None)
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    scheduler.cluster.open_for_answers.set()
    await paused
    assert (await _lease_of(scheduler))[0] == "over"
    assert len(await scheduler.said(JobStarted, job)) == 1
    assert len(await scheduler.said(JobCompleted, job)) == 1


async def test_a_submission_that_arrives_after_the_give_back_is_still_our_run(scheduler: Scheduler) -> None:
    scheduler.cluster.moods.append("busy")
    job = await scheduler.queue()
    await scheduler.dispatch()
    scheduler.cluster.report(job, "running")
    await scheduler.watch()
    await scheduler.let_pauses_end()
    assert not await scheduler.dispatch(), "it runs already"
    scheduler.cluster.report(job, "completed")
    await scheduler.watch()
    assert len(await scheduler.said(JobStarted, job)) == 1
    [completed] = await scheduler.said(JobCompleted, job)
    assert (completed.outcome, completed.attempt) == (JobStatus.COMPLETED, 1)


async def _pause_a_submission(scheduler: Scheduler, mood: Mood | None):
    """A job whose first submission hangs and will be answered with `mood`."""
    scheduler.cluster.moods.append(mood)
    scheduler.cluster.open_for_answers.clear()
    job = await scheduler.queue()
    paused = asyncio.create_task(scheduler.dispatch())
    await eventually(lambda: _submitted(scheduler, 1))
    return job, paused


async def _submitted(scheduler: Scheduler, times: int) -> bool:
    return len(scheduler.cluster.submitted) == times


async def _runs_on(scheduler: Scheduler) -> None:
    """Nothing of the job is left to be submitted."""
    await scheduler.let_leases_lapse()
    await scheduler.let_pauses_end()
    assert not await scheduler.dispatch()


async def _lease_of(scheduler: Scheduler) -> tuple[str, int]:
    row = await scheduler.pool.fetchrow("SELECT state, fence FROM attempts")
    return row["state"], row["fence"]
