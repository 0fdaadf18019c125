"""How long a submission may take, and when it is repeated."""

from brightrun.cluster_client.responses import Accepted, Busy, Unanswered, Undelivered
from brightrun.scheduler.submission.loops import DATABASE_PAUSES
from brightrun.scheduler.submission.models import NoInputs
from brightrun.scheduler.submission.rules import LEASE, SUBMISSION_TIMEOUT, needs_pause


def test_a_lease_outlives_its_submission() -> None:
    assert LEASE > SUBMISSION_TIMEOUT


def test_a_database_that_starts_again_is_waited_for_but_not_past_the_lease() -> None:
    assert 5 < sum(DATABASE_PAUSES) < LEASE.total_seconds()


def test_a_cluster_that_is_full_or_cannot_be_reached_is_left_alone_for_a_while() -> None:
    responses = [
        Busy(),
        Undelivered("refused"),
        NoInputs("no URL"),
        Unanswered(""),
        Accepted("1"),
    ]
    assert [needs_pause(response) for response in responses] == [True, True, False, False, False]
