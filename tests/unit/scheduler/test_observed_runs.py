"""What of a page is worth being remembered of our runs, and when their time is up."""

from dataclasses import replace
from datetime import timedelta

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.values import new_id
from brightrun.scheduler.limits.models import Allowance
from brightrun.scheduler.models import Attempt
from brightrun.scheduler.observation.models import ObservedRun
from brightrun.scheduler.observation.rules import stream
from brightrun.scheduler.states import AttemptState
from tests.builders import NOON

RUN = ObservedRun(Attempt(new_id(), new_id(), 1, "local", fence=1, state=AttemptState.LIVE, external_job_id="run-1"))
LIMITED = replace(RUN, allowance=Allowance(600, "budget"))


def event(at=NOON, status="running", **state) -> RunEvent:
    values = {"external_job_id": "run-1", "stage": "training", "progress": 5.0, "started_at": NOON}
    run = RunStatus(job_id=RUN.attempt.job_id, attempt=1, status=status, **values | state)
    return RunEvent(cursor=1, event_id=new_id(), at=at, seq=1, run=run)


def update(run: ObservedRun, *events: RunEvent, now=NOON) -> ObservedRun | None:
    updates = stream.updates_of(events, {run.attempt.key: run}, now)
    assert len(updates) <= 1
    return updates[0] if updates else None


def test_the_start_and_the_last_checkpoint_are_saved_once() -> None:
    started = update(RUN, event())
    assert started
    assert started.started_at == NOON
    assert update(started, event()) is None
    saved = update(started, event(), event(last_checkpoint_step=50, checkpoint_seconds=1.5))
    assert saved
    assert (saved.saved_step, saved.checkpoint_seconds) == (50, 1.5)
    assert update(saved, event()) is None, "what is not told again is still so"


def test_an_end_and_an_unknown_run_are_not_saved() -> None:
    assert update(RUN, event(status="completed")) is None
    assert stream.updates_of([event()], {}, NOON) == []


def test_the_time_to_stop_is_by_our_clock() -> None:
    ahead = NOON + timedelta(hours=5)
    noted = update(LIMITED, event(ahead + timedelta(seconds=100), started_at=ahead, checkpoint_seconds=5.0))
    assert noted
    assert noted.stop_at
    assert timedelta(seconds=480) < noted.stop_at - NOON < timedelta(seconds=500)


def test_the_time_to_stop_is_earlier_when_saving_takes_longer() -> None:
    quick = update(LIMITED, event(checkpoint_seconds=1.0))
    assert quick
    assert quick.stop_at
    slow = update(quick, event(checkpoint_seconds=60.0))
    assert slow
    assert slow.stop_at
    assert quick.stop_at - slow.stop_at == timedelta(seconds=118)


def test_a_small_difference_is_not_saved() -> None:
    noted = update(LIMITED, event(eta_seconds=300))
    assert noted
    assert update(noted, event(NOON + timedelta(seconds=9), eta_seconds=295), now=NOON + timedelta(seconds=9.2)) is None
    assert (
        update(noted, event(NOON + timedelta(seconds=9), eta_seconds=200), now=NOON + timedelta(seconds=9)) is not None
    )
