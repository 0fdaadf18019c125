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
from brightrun.scheduler.models import Attempt, Stopping, Wishes
from brightrun.scheduler.rules import stops
from brightrun.scheduler.rules.endings import Again, Over, Paused, fate
from tests.builders import NOON

LOST = JobError(code="run_lost", message="The node went away.", retryable=True)
WRONG = JobError(code="diverged", message="The loss is not a number.")
NONE = Wishes(cancelled=False, paused=False, limit=None, sent=None, losses=0)
ATTEMPT = Attempt(new_id(), new_id(), 1, "local", fence=1, state="live", external_job_id="run-1")
RUN = Stopping(ATTEMPT, over=False, cancelled=False, paused=False, decided_at=None, sent=None, sent_at=None, heard=None)
ORIGINAL = Capabilities(name="theirs", version="unknown", executor="unknown", gpu_types=())
OURS = ORIGINAL.model_copy(update={"stop_modes": ("checkpoint", "finish"), "graceful_stop": True, "resume": True})
OLDER = ORIGINAL.model_copy(update={"graceful_stop": True, "resume": True})


def run(status: str, **changes) -> RunStatus:
    values = {"external_job_id": "run-1", "stage": "x", "progress": 1}
    return RunStatus(job_id=ATTEMPT.job_id, attempt=1, status=status, **values | changes)


WISHES = st.builds(
    Wishes,
    cancelled=st.booleans(),
    paused=st.booleans(),
    limit=st.sampled_from([None, "budget", "duration"]),
    sent=st.sampled_from([None, "cancel", "checkpoint", "finish"]),
    losses=st.integers(0, 5),
)


@given(WISHES, st.booleans())
def test_a_run_that_completed_has_completed_whatever_was_wished(wishes: Wishes, early: bool) -> None:
    assert fate(run("completed", stopped_early=early), wishes, 3) == Over(
        JobStatus.COMPLETED, wishes.limit if early else None
    )


@given(WISHES)
def test_the_user_s_own_mistake_is_not_tried_again(wishes: Wishes) -> None:
    assert fate(run("failed", error=WRONG), wishes, 3) == Over(JobStatus.FAILED)
    assert fate(run("failed", error_message="out of memory"), wishes, 3) == Over(JobStatus.FAILED)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Again()),
        ({"losses": 1}, Again()),
        ({"losses": 2}, Over(JobStatus.FAILED)),
        ({"cancelled": True}, Over(JobStatus.CANCELLED)),
        ({"cancelled": True, "paused": True}, Over(JobStatus.CANCELLED)),
        ({"paused": True}, Paused()),
        ({"limit": "budget"}, Again()),
    ],
)
def test_a_lost_run_is_tried_again_unless_nobody_wants_it(changes, expected) -> None:
    assert fate(run("failed", error=LOST), replace(NONE, **changes), 3) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cancelled": True, "paused": True, "limit": "budget"}, Over(JobStatus.CANCELLED)),
        ({"limit": "budget", "paused": True}, Over(JobStatus.CANCELLED, "budget")),
        ({"limit": "duration"}, Over(JobStatus.CANCELLED, "duration")),
        ({"paused": True, "sent": "checkpoint"}, Paused()),
        ({"sent": "checkpoint"}, Again()),
        ({}, Over(JobStatus.CANCELLED)),
    ],
)
def test_a_run_that_was_stopped_means_what_was_wished(changes, expected) -> None:
    assert fate(run("cancelled"), replace(NONE, **changes), 3) == expected


@pytest.mark.parametrize(
    ("changes", "cluster", "order"),
    [
        ({"cancelled": True}, OURS, "cancel"),
        ({"over": True}, OURS, "cancel"),
        ({"cancelled": True, "paused": True, "decided_at": NOON}, OURS, "cancel"),
        ({"decided_at": NOON}, OURS, "finish"),
        ({"decided_at": NOON, "paused": True}, OURS, "finish"),
        ({"decided_at": NOON - stops.FINISH_PATIENCE}, OURS, "cancel"),
        ({"decided_at": NOON}, ORIGINAL, "cancel"),
        ({"paused": True}, OURS, "checkpoint"),
        ({"paused": True}, OLDER, "cancel"),
        ({"paused": True}, ORIGINAL, None),
        ({}, OURS, None),
    ],
)
def test_a_run_is_told_what_its_cluster_can_do_of_what_is_wished(changes, cluster, order) -> None:
    assert stops.order_of(replace(RUN, **changes), cluster, NOON) == order


def test_an_order_is_given_again_after_a_while_and_a_stronger_one_at_once() -> None:
    told = replace(RUN, sent="checkpoint", sent_at=NOON)
    assert stops.due(RUN, "checkpoint", NOON)
    assert not stops.due(told, "checkpoint", NOON + timedelta(seconds=1))
    assert stops.due(told, "cancel", NOON + timedelta(seconds=1))
    assert stops.due(told, "checkpoint", NOON + stops.REPEAT)


def test_a_cancellation_that_nobody_hears_is_over_within_five_seconds() -> None:
    assert stops.CANCEL_PATIENCE + timedelta(seconds=1) <= timedelta(seconds=5)
