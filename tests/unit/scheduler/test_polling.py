"""What a status says of a run, whoever's cluster answers, and how often it is asked for."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster_client.responses import Missing, Reported, Unanswered
from brightrun.contracts.values import new_id
from brightrun.scheduler.lifecycle.rules import GONE, SILENT
from brightrun.scheduler.models import Attempt
from brightrun.scheduler.observation.models import ObservedRun, PollState
from brightrun.scheduler.observation.rules import polling
from brightrun.scheduler.observation.rules.polling import pause, read_response
from brightrun.scheduler.states import AttemptState
from tests.builders import NOON

RUN = ObservedRun(Attempt(new_id(), new_id(), 2, "theirs", fence=1, state=AttemptState.LIVE, external_job_id="gpu-7"))
MAX_SILENCE = timedelta(seconds=60)
LIVE = st.integers(0, 100_000)
QUIET = st.integers(0, 10_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "status", "progress", "current_step", "current_epoch", "metrics", "stage", "error", "error_message", "started_at",
    "finished_at", "total_steps", "eta_seconds", "last_checkpoint_step", "training_loss",
)  # fmt: skip
WORDS = st.sampled_from(["queued", "initializing", "running", "completed", "failed", "cancelled", "preempted", "Done"])
BODIES = st.builds(
    lambda fields, status: fields | {"status": status}, st.dictionaries(st.sampled_from(FIELDS), JSON), WORDS | JSON
)


def reported(**body) -> Reported:
    return Reported({"external_job_id": "gpu-7", "status": "running"} | body)


def read_all(*responses, at=NOON, every=timedelta(seconds=2)):
    """What each response makes of the run, one after the other."""
    state, results = PollState(), []
    for number, response in enumerate(responses):
        results.append(read_response(RUN, state, response, at + number * every, MAX_SILENCE))
        state = results[-1].state
    return results


@given(QUIET, LIVE)
def test_the_pause_is_bounded(quiet: int, live: int) -> None:
    seconds = pause(PollState(quiet=quiet), live, stopping=False).total_seconds()
    assert polling.MIN_SECONDS <= seconds <= max(polling.MAX_SECONDS, live / polling.MAX_PER_SECOND)


@given(QUIET, QUIET, LIVE)
def test_the_longer_nothing_changes_the_longer_the_pause(one: int, other: int, live: int) -> None:
    less, more = sorted([one, other])
    assert pause(PollState(quiet=less), live, stopping=False) <= pause(PollState(quiet=more), live, stopping=False)


@given(st.lists(QUIET, min_size=1, max_size=300))
def test_a_cluster_gets_a_limited_number_of_requests_per_second(runs: list[int]) -> None:
    live = len(runs) * 100
    rate = sum(100 / pause(PollState(quiet=quiet), live, stopping=False).total_seconds() for quiet in runs)
    assert rate <= polling.MAX_PER_SECOND + 1e-6


def test_a_stopping_or_missing_run_is_polled_soon() -> None:
    quiet = PollState(quiet=100)
    assert pause(quiet, 1, stopping=True).total_seconds() <= 1
    assert pause(quiet.model_copy(update={"missing": 1}), 1, stopping=False).total_seconds() <= 1


@given(st.lists(BODIES, max_size=12))
def test_no_response_breaks_the_order_of_events(bodies) -> None:
    results = read_all(*(Reported(body) for body in bodies))
    events = [result.event for result in results if result.event]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len({event.event_id for event in events}) == len(events)
    assert results == read_all(*(Reported(body) for body in bodies)), "two schedulers make the same of it"


@given(BODIES)
def test_a_repeated_response_is_not_an_event(body) -> None:
    first, again = read_all(Reported(body), Reported(body))
    assert again.event is None
    assert again.state.quiet == (first.state.quiet + 1)


def test_a_change_makes_the_pause_short_again() -> None:
    *_, quiet, changed = read_all(*[reported(progress=1)] * 5, reported(progress=2))
    assert quiet.state.quiet == 4
    assert changed.state.quiet == 0


def test_metrics_become_points_once_each() -> None:
    first = {"training_loss": 1.5, "throughput": 900, "learning_rate": 1e-4, "gpu_utilization": 87}
    second = first | {"training_loss": 1.25}
    results = read_all(
        reported(current_step=10, current_epoch=0.5, metrics=first),
        reported(current_step=10, current_epoch=0.5, metrics=first, progress=41),
        reported(current_step=20, current_epoch=1, metrics=second),
        reported(status="completed", current_step=20, current_epoch=1, metrics=second),
    )
    points = [point for result in results if result.event for point in result.event.points]
    assert [(point.step, point.epoch, point.training_loss) for point in points] == [(10, 0.5, 1.5), (20, 1.0, 1.25)]
    assert (points[0].tokens_per_second, points[0].gpu_utilization) == (900, 87)


@pytest.mark.parametrize("bad", ["1.5", None, True, float("nan"), float("inf"), [1.5], {"value": 1.5}])
def test_a_value_that_is_not_a_number_is_ignored(bad) -> None:
    [result] = read_all(reported(metrics={"training_loss": bad, "validation_loss": 2}))
    assert result.event
    [point] = result.event.points
    assert (point.training_loss, point.validation_loss) == (None, 2.0)


@pytest.mark.parametrize(
    ("words", "states"),
    [
        (["queued", "preparing", "running", "preempted", "COMPLETED"],
         ["queued", "initializing", "running", "running", "completed"]),
        (["running", "canceled"], ["running", "cancelled"]),
    ],
)  # fmt: skip
def test_an_unknown_status_is_a_stage_and_not_an_end(words, states) -> None:
    events = [result.event for result in read_all(*(reported(status=word) for word in words))]
    assert [event and event.run.status for event in events] == states
    assert [event and event.run.stage for event in events] == words


def test_times_are_ours_unless_the_cluster_reports_both() -> None:
    [first] = read_all(reported(started_at="2020-01-01T00:00:00Z"))
    assert first.event
    assert first.event.run.started_at == NOON
    seen = replace(RUN, started_at=NOON - timedelta(minutes=9))
    over = read_response(seen, PollState(), reported(status="completed"), NOON, MAX_SILENCE).event
    assert over
    assert (over.run.started_at, over.run.finished_at) == (seen.started_at, NOON)
    both = reported(status="completed", started_at="2026-11-24T10:00:00Z", finished_at="2026-11-24T10:30:00+00:00")
    over = read_response(seen, PollState(), both, NOON, MAX_SILENCE).event
    assert over
    assert over.run.started_at
    assert over.run.finished_at
    assert over.run.finished_at - over.run.started_at == timedelta(minutes=30)


def test_a_run_is_gone_when_it_is_not_known_three_times_in_a_row() -> None:
    results = read_all(Missing(), Missing(), reported(), Missing(), Missing(), Missing())
    assert [result.lost for result in results] == [None, None, None, None, None, GONE]


def test_a_run_without_usable_responses_for_too_long_is_lost() -> None:
    answers = [
        reported(),
        Unanswered("500"),
        Reported({"status": None}),
        reported(progress=3),
        *[Unanswered("no answer")] * 32,
    ]
    lost = [result.lost for result in read_all(*answers)]
    assert lost[:-2] == [None] * (len(answers) - 2)
    assert lost[-1] == SILENT


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ({"error": "CUDA out of memory"}, "run_failed", "CUDA out of memory"),
        ({"error": {"code": "oom", "message": "Too large."}}, "oom", "Too large."),
        ({"error": {"reason": "?"}, "error_message": "sad"}, None, "sad"),
    ],
)
def test_an_error_is_kept_as_far_as_it_is_valid(error, code, words) -> None:
    [result] = read_all(reported(status="failed", **error))
    assert result.event
    run = result.event.run
    assert (run.error and run.error.code) == code
    assert words in (run.error.message if run.error else run.error_message or "")
