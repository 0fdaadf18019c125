"""How long a submission may take, and when it is repeated."""

from brightrun.cluster_client.responses import Accepted, Busy, Unanswered, Undelivered
from brightrun.scheduler.submission.loops import DATABASE_PAUSES
from brightrun.scheduler.submission.models import NoInputs
from brightrun.scheduler.submission.rules import LEASE, SUBMISSION_TIMEOUT, needs_pause


def test_a_lease_outlives_its_submission() -> None:
    assert LEASE > SUBMISSION_TIMEOUT


def test_a_restarting_database_is_waited_for_within_the_lease() -> None:
    assert 5 < sum(DATABASE_PAUSES) < LEASE.total_seconds()


def test_a_busy_or_unreachable_cluster_gets_a_pause() -> None:
    responses = [
        Busy(),
        Undelivered("refused"),
        NoInputs("no URL"),
        Unanswered(""),
        Accepted("1"),
    ]
    assert [needs_pause(response) for response in responses] == [True, True, False, False, False]
