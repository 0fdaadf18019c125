"""What is tried again, and how long things may take."""

from datetime import timedelta

from brightrun.cluster_client.responses import Accepted, Busy, Unanswered, Undelivered
from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import new_id
from brightrun.scheduler.loops.dispatch import DATABASE_PAUSES
from brightrun.scheduler.models import NoInputs
from brightrun.scheduler.rules import retries

LOST = JobError(code="run_lost", message="The node went away.", retryable=True)


def run(status="running", **state) -> RunStatus:
    values = {"external_job_id": "run-1", "stage": "training", "progress": 5.0}
    return RunStatus(job_id=new_id(), attempt=1, status=status, **values | state)


def test_the_pauses_before_retries_grow() -> None:
    assert [retries.retry_pause(losses) for losses in (1, 2, 3)] == [
        timedelta(seconds=5),
        timedelta(seconds=20),
        timedelta(seconds=80),
    ]


def test_a_lease_outlives_its_submission() -> None:
    assert retries.LEASE > retries.SUBMISSION_BUDGET


def test_a_database_that_starts_again_is_waited_for_but_not_past_the_lease() -> None:
    assert 5 < sum(DATABASE_PAUSES) < retries.LEASE.total_seconds()


def test_a_cluster_that_is_full_or_cannot_be_reached_is_left_alone_for_a_while() -> None:
    answers = [
        Busy(),
        Undelivered("refused"),
        NoInputs("no URL"),
        Unanswered(""),
        Accepted("1"),
    ]
    assert [retries.keeps_away(answer) for answer in answers] == [True, True, False, False, False]


def test_a_sentence_alone_is_a_reason() -> None:
    assert retries.error_of(run("failed", error=LOST, error_message="gone")) == LOST
    assert retries.error_of(run("failed", error_message="gone")) == JobError(code="run_failed", message="gone")
    assert retries.error_of(run()) is None
