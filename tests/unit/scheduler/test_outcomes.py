"""What an attempt's end means for its job, and how its run is told to end."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.cluster_api import Capabilities, RunStatus
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import new_id
from brightrun.scheduler.lifecycle.models import StopRequests
from brightrun.scheduler.lifecycle.rules import (
    Complete,
    Pause,
    Retry,
    decide_outcome,
    error_of,
    final_error,
    retry_pause,
)
from brightrun.scheduler.models import Attempt
from brightrun.scheduler.states import AttemptState
from brightrun.scheduler.stopping import rules as stopping
from brightrun.scheduler.stopping.models import StoppingRun
from tests.builders import NOON

LOST = JobError(code="run_lost", message="The node went away.", retryable=True)
UNKNOWN = JobError(code="trainer_error", message="KeyError: 'x'", advice="Try again.", retryable=True)
WRONG = JobError(code="diverged", message="The loss is not a number.")
NONE = StopRequests(
    cancelled=False, paused=False, finishing=False, limit=None, sent=None, lost_attempts=0, repeated=False
)
ATTEMPT = Attempt(new_id(), new_id(), 1, "local", fence=1, state=AttemptState.LIVE, external_job_id="run-1")
RUN = StoppingRun(
    ATTEMPT,
    job_over=False,
    cancelled=False,
    paused=False,
    finishing=False,
    decided_at=None,
    sent=None,
    sent_at=None,
    acknowledged=None,
)
ORIGINAL = Capabilities(name="theirs", version="unknown", executor="unknown", gpu_types=())
OURS = ORIGINAL.model_copy(update={"stop_modes": ("checkpoint", "finish"), "graceful_stop": True, "resume": True})
OLDER = ORIGINAL.model_copy(update={"graceful_stop": True, "resume": True})


def run(status: str, **changes) -> RunStatus:
    values = {"external_job_id": "run-1", "stage": "x", "progress": 1}
    return RunStatus(job_id=ATTEMPT.job_id, attempt=1, status=status, **values | changes)


STOP_REQUESTS = st.builds(
    StopRequests,
    cancelled=st.booleans(),
    paused=st.booleans(),
    finishing=st.booleans(),
    limit=st.sampled_from([None, "budget", "duration"]),
    sent=st.sampled_from([None, "cancel", "checkpoint", "finish"]),
    lost_attempts=st.integers(0, 5),
    repeated=st.booleans(),
)


@given(STOP_REQUESTS, st.booleans())
def test_a_completed_run_completes_its_job_whatever_was_requested(requests: StopRequests, early: bool) -> None:
    stopped_by = requests.limit or ("user" if requests.finishing else None)
    assert decide_outcome(run("completed", stopped_early=early), requests, 3) == Complete(
        JobStatus.COMPLETED, stopped_by if early else None
    )


@given(STOP_REQUESTS)
def test_a_failure_that_is_not_retryable_fails_the_job(requests: StopRequests) -> None:
    assert decide_outcome(run("failed", error=WRONG), requests, 3) == Complete(JobStatus.FAILED)
    assert decide_outcome(run("failed", error_message="out of memory"), requests, 3) == Complete(JobStatus.FAILED)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Retry()),
        ({"lost_attempts": 1}, Retry()),
        ({"lost_attempts": 2}, Complete(JobStatus.FAILED)),
        ({"cancelled": True}, Complete(JobStatus.CANCELLED)),
        ({"cancelled": True, "paused": True}, Complete(JobStatus.CANCELLED)),
        ({"paused": True}, Pause()),
        ({"limit": "budget"}, Retry()),
        ({"finishing": True, "sent": "finish"}, Retry()),
    ],
)
def test_a_lost_run_is_retried_unless_a_stop_was_requested(changes, expected) -> None:
    assert decide_outcome(run("failed", error=LOST), replace(NONE, **changes), 3) == expected


def test_an_unknown_error_that_comes_back_at_the_same_step_is_final() -> None:
    failed = run("failed", error=UNKNOWN, current_step=1200)
    first, second = replace(NONE, lost_attempts=0), replace(NONE, lost_attempts=1, repeated=True)
    assert decide_outcome(failed, first, 3) == Retry()
    assert final_error(failed, first) == UNKNOWN
    assert decide_outcome(failed, second, 3) == Complete(JobStatus.FAILED)
    error = final_error(failed, second)
    assert error
    assert (error.code, error.message, error.retryable) == (UNKNOWN.code, UNKNOWN.message, False)
    assert error.advice == "It failed twice in the same way at step 1,200: give the run's log to the operator."


def test_an_error_with_a_known_cause_is_retried_although_it_comes_back() -> None:
    assert decide_outcome(run("failed", error=LOST), replace(NONE, repeated=True), 3) == Retry()
    assert final_error(run("failed", error=LOST), replace(NONE, repeated=True)) == LOST


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cancelled": True, "paused": True, "limit": "budget"}, Complete(JobStatus.CANCELLED)),
        ({"limit": "budget", "paused": True}, Complete(JobStatus.CANCELLED, "budget")),
        ({"limit": "duration"}, Complete(JobStatus.CANCELLED, "duration")),
        ({"finishing": True, "sent": "finish"}, Complete(JobStatus.CANCELLED, "user")),
        ({"cancelled": True, "finishing": True, "sent": "finish"}, Complete(JobStatus.CANCELLED)),
        ({"finishing": True, "paused": True, "sent": "checkpoint"}, Pause()),
        ({"paused": True, "sent": "checkpoint"}, Pause()),
        ({"sent": "checkpoint"}, Retry()),
        ({}, Complete(JobStatus.CANCELLED)),
    ],
)
def test_a_cancelled_run_means_what_was_requested(changes, expected) -> None:
    assert decide_outcome(run("cancelled"), replace(NONE, **changes), 3) == expected


@pytest.mark.parametrize(
    ("changes", "cluster", "signal"),
    [
        ({"cancelled": True}, OURS, "cancel"),
        ({"job_over": True}, OURS, "cancel"),
        ({"cancelled": True, "paused": True, "decided_at": NOON}, OURS, "cancel"),
        ({"decided_at": NOON}, OURS, "finish"),
        ({"decided_at": NOON, "paused": True}, OURS, "finish"),
        ({"decided_at": NOON - stopping.FINISH_DEADLINE}, OURS, "cancel"),
        ({"decided_at": NOON}, ORIGINAL, "cancel"),
        ({"cancelled": True, "finishing": True}, OURS, "cancel"),
        ({"finishing": True, "paused": True}, OURS, "finish"),
        ({"finishing": True, "decided_at": NOON - stopping.FINISH_DEADLINE}, OURS, "cancel"),
        ({"finishing": True}, ORIGINAL, None),
        ({"paused": True}, OURS, "checkpoint"),
        ({"paused": True}, OLDER, "cancel"),
        ({"paused": True}, ORIGINAL, None),
        ({}, OURS, None),
    ],
)
def test_the_signal_is_what_the_cluster_can_do_of_the_request(changes, cluster, signal) -> None:
    assert stopping.signal_for(replace(RUN, **changes), cluster, NOON) == signal


def test_a_signal_is_repeated_after_a_while_and_a_stronger_one_sent_at_once() -> None:
    sent = replace(RUN, sent="checkpoint", sent_at=NOON)
    assert stopping.is_due(RUN, "checkpoint", NOON)
    assert not stopping.is_due(sent, "checkpoint", NOON + timedelta(seconds=1))
    assert stopping.is_due(sent, "cancel", NOON + timedelta(seconds=1))
    assert stopping.is_due(sent, "checkpoint", NOON + stopping.REPEAT)


def test_an_unacknowledged_cancellation_ends_within_five_seconds() -> None:
    assert stopping.CANCEL_DEADLINE + timedelta(seconds=1) <= timedelta(seconds=5)


def test_the_pauses_before_retries_grow() -> None:
    assert [retry_pause(lost) for lost in (1, 2, 3)] == [
        timedelta(seconds=5),
        timedelta(seconds=20),
        timedelta(seconds=80),
    ]


def test_an_error_message_alone_is_an_error() -> None:
    assert error_of(run("failed", error=LOST, error_message="gone")) == LOST
    assert error_of(run("failed", error_message="gone")) == JobError(code="run_failed", message="gone")
    assert error_of(run("running")) is None
