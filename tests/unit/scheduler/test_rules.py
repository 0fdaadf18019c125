"""What a page of the cluster's stream means, and when a lost run is tried again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.job_status import TERMINAL, JobStatus
from brightrun.contracts.training import JobError, MetricPoint
from brightrun.contracts.values import new_id
from brightrun.scheduler import rules
from brightrun.scheduler.models import Attempt
from tests.builders import NOON, job_queued

OURS = [job_queued(), job_queued()]
ATTEMPTS = {
    attempt.key: attempt
    for job in OURS
    for attempt in (
        Attempt(job, 1, "local", fence=1, state="over", external_job_id="run-1"),
        Attempt(job, 2, "local", fence=1, state="submitting", external_job_id=None),
        Attempt(job, 3, "local", fence=1, state="given_back", external_job_id=None),
    )
}
JOB_IDS = [*(job.job_id for job in OURS), new_id()]
POINTS = tuple(MetricPoint(step=step, epoch=0.1, training_loss=1.0) for step in range(3))
RETRYABLE = JobError(code="run_lost", message="The node went away.", retryable=True)


def event(job_id=JOB_IDS[0], attempt=1, status="running", points=(), seq=1, **state) -> RunEvent:
    values = {"external_job_id": "run-1", "stage": "training", "progress": 5.0}
    run = RunStatus(job_id=job_id, attempt=attempt, status=status, **values | state)
    return RunEvent(cursor=seq, event_id=new_id(), at=NOON, seq=seq, run=run, points=points)


EVENTS = st.builds(
    event,
    job_id=st.sampled_from(JOB_IDS),
    attempt=st.integers(1, 4),
    status=st.sampled_from(["queued", "initializing", "running", "completed", "failed", "cancelled"]),
    points=st.sampled_from([POINTS[:count] for count in range(4)]),
    seq=st.integers(1, 10**6),
    progress=st.floats(0, 100),
)
PAGES = st.lists(EVENTS, max_size=20)


@given(PAGES)
def test_every_point_of_our_runs_is_published_once_under_its_event_s_id(page: list[RunEvent]) -> None:
    expected = [(one.event_id, one.points) for one in page if _is_ours(one) and one.points]
    published = rules.progress_of(page, ATTEMPTS)
    assert [(one.event_id, one.points) for one in published if one.points] == expected


@given(PAGES)
def test_every_event_of_our_runs_is_progress_or_an_end(page: list[RunEvent]) -> None:
    progress = {one.event_id for one in rules.progress_of(page, ATTEMPTS)}
    ends = [run for _, run in rules.ends_of(page, ATTEMPTS)]
    assert [one.run for one in page if _is_ours(one) and one.run.status in TERMINAL] == ends
    assert {one.event_id for one in page if _is_ours(one) and one.run.status not in TERMINAL} <= progress


@given(PAGES)
def test_progress_says_whose_and_which_run_it_is_of(page: list[RunEvent]) -> None:
    events = {one.event_id: one for one in page}
    for progress in rules.progress_of(page, ATTEMPTS):
        told = events[progress.event_id]
        owner = ATTEMPTS[told.run.job_id, told.run.attempt].job.user_id
        assert (progress.job_id, progress.attempt, progress.seq) == (told.run.job_id, told.run.attempt, told.seq)
        assert (progress.user_id, progress.occurred_at, progress.percent) == (owner, told.at, told.run.progress)
        assert progress.status is (
            JobStatus.INITIALIZING if told.run.status in ("queued", "initializing") else JobStatus.RUNNING
        )


@given(PAGES)
def test_an_unanswered_attempt_is_adopted_once_and_an_answered_one_never(page: list[RunEvent]) -> None:
    adopted = [attempt.key for attempt, _ in rules.accepted_by(page, ATTEMPTS)]
    assert len(adopted) == len(set(adopted))
    assert set(adopted) == {
        (one.run.job_id, one.run.attempt) for one in page if _is_ours(one) and one.run.attempt in (2, 3)
    }


@pytest.mark.parametrize(
    ("attempt", "status", "error", "retried"),
    [
        (1, "failed", RETRYABLE, True),
        (2, "failed", RETRYABLE, True),
        (3, "failed", RETRYABLE, False),
        (1, "failed", RETRYABLE.model_copy(update={"retryable": False}), False),
        (1, "failed", None, False),
        (1, "cancelled", RETRYABLE, False),
        (1, "completed", RETRYABLE, False),
    ],
)
def test_a_run_is_tried_again_when_it_was_lost_and_attempts_are_left(attempt, status, error, retried) -> None:
    run = event(attempt=attempt, status=status, error=error).run
    assert rules.to_be_retried(ATTEMPTS[OURS[0].job_id, attempt], run) is retried


def test_the_pauses_before_retries_grow() -> None:
    assert [rules.retry_pause(attempt) for attempt in (1, 2, 3)] == [
        timedelta(seconds=5),
        timedelta(seconds=20),
        timedelta(seconds=80),
    ]


def test_a_lease_outlives_its_submission() -> None:
    assert rules.LEASE > rules.SUBMISSION_BUDGET


def test_a_sentence_alone_is_a_reason() -> None:
    assert rules.error_of(event(status="failed", error=RETRYABLE, error_message="gone").run) == RETRYABLE
    assert rules.error_of(event(status="failed", error_message="gone").run) == JobError(
        code="run_failed", message="gone"
    )
    assert rules.error_of(event().run) is None


def _is_ours(one: RunEvent) -> bool:
    return (one.run.job_id, one.run.attempt) in ATTEMPTS
