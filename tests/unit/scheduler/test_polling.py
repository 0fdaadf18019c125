"""What a status says of a run, whoever's cluster answers, and how often it is asked for."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster_client.responses import Missing, Reported, Unanswered
from brightrun.contracts.values import new_id
from brightrun.scheduler.models import Attempt, Polled, Watched
from brightrun.scheduler.rules import polling
from brightrun.scheduler.rules.polling import GONE, SILENT, hear, pause
from tests.builders import NOON

RUN = Watched(Attempt(new_id(), new_id(), 2, "theirs", fence=1, state="live", external_job_id="gpu-7"))
SILENCE = timedelta(seconds=60)
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


def told(**body) -> Reported:
    return Reported({"external_job_id": "gpu-7", "status": "running"} | body)


def hear_all(*answers, at=NOON, every=timedelta(seconds=2)):
    """What each answer makes of the run, one after the other."""
    polled, heard = Polled(), []
    for number, answer in enumerate(answers):
        heard.append(hear(RUN, polled, answer, at + number * every, SILENCE))
        polled = heard[-1].polled
    return heard


@given(QUIET, LIVE)
def test_the_pause_is_bounded(quiet: int, live: int) -> None:
    seconds = pause(Polled(quiet=quiet), live, ending=False).total_seconds()
    assert polling.FASTEST_SECONDS <= seconds <= max(polling.SLOWEST_SECONDS, live / polling.MAX_PER_SECOND)


@given(QUIET, QUIET, LIVE)
def test_the_longer_nothing_changes_the_longer_the_pause(one: int, other: int, live: int) -> None:
    less, more = sorted([one, other])
    assert pause(Polled(quiet=less), live, ending=False) <= pause(Polled(quiet=more), live, ending=False)


@given(st.lists(QUIET, min_size=1, max_size=300))
def test_a_cluster_is_not_asked_more_often_than_it_can_bear(runs: list[int]) -> None:
    live = len(runs) * 100
    rate = sum(100 / pause(Polled(quiet=quiet), live, ending=False).total_seconds() for quiet in runs)
    assert rate <= polling.MAX_PER_SECOND + 1e-6


def test_a_run_that_is_ending_or_missing_is_asked_about_soon() -> None:
    quiet = Polled(quiet=100)
    assert pause(quiet, 1, ending=True).total_seconds() <= 1
    assert pause(quiet.model_copy(update={"missing": 1}), 1, ending=False).total_seconds() <= 1


@given(st.lists(BODIES, max_size=12))
def test_no_answer_whatever_is_in_it_breaks_the_order_of_events(bodies) -> None:
    heard = hear_all(*(Reported(body) for body in bodies))
    events = [one.event for one in heard if one.event]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len({event.event_id for event in events}) == len(events)
    assert heard == hear_all(*(Reported(body) for body in bodies)), "two schedulers make the same of it"


@given(BODIES)
def test_an_answer_that_comes_again_is_no_event(body) -> None:
    first, again = hear_all(Reported(body), Reported(body))
    assert again.event is None
    assert again.polled.quiet == (first.polled.quiet + 1)


def test_a_change_makes_the_pause_short_again() -> None:
    *_, quiet, changed = hear_all(*[told(progress=1)] * 5, told(progress=2))
    assert quiet.polled.quiet == 4
    assert changed.polled.quiet == 0


def test_metrics_become_points_once_each() -> None:
    one = {"training_loss": 1.5, "throughput": 900, "learning_rate": 1e-4, "gpu_utilization": 87}
    other = one | {"training_loss": 1.25}
    heard = hear_all(
        told(current_step=10, current_epoch=0.5, metrics=one),
        told(current_step=10, current_epoch=0.5, metrics=one, progress=41),
        told(current_step=20, current_epoch=1, metrics=other),
        told(status="completed", current_step=20, current_epoch=1, metrics=other),
    )
    points = [point for each in heard if each.event for point in each.event.points]
    assert [(point.step, point.epoch, point.training_loss) for point in points] == [(10, 0.5, 1.5), (20, 1.0, 1.25)]
    assert (points[0].tokens_per_second, points[0].gpu_utilization) == (900, 87)


@pytest.mark.parametrize("bad", ["1.5", None, True, float("nan"), float("inf"), [1.5], {"value": 1.5}])
def test_what_is_no_number_was_not_measured(bad) -> None:
    [heard] = hear_all(told(metrics={"training_loss": bad, "validation_loss": 2}))
    assert heard.event
    [point] = heard.event.points
    assert (point.training_loss, point.validation_loss) == (None, 2.0)


@pytest.mark.parametrize(
    ("words", "states"),
    [
        (["queued", "preparing", "running", "preempted", "COMPLETED"],
         ["queued", "initializing", "running", "running", "completed"]),
        (["running", "canceled"], ["running", "cancelled"]),
    ],
)  # fmt: skip
def test_a_word_that_nobody_knows_is_a_stage_and_no_end(words, states) -> None:
    events = [heard.event for heard in hear_all(*(told(status=word) for word in words))]
    assert [event and event.run.status for event in events] == states
    assert [event and event.run.stage for event in events] == words


def test_times_are_ours_unless_the_cluster_tells_both() -> None:
    [first] = hear_all(told(started_at="2020-01-01T00:00:00Z"))
    assert first.event
    assert first.event.run.started_at == NOON
    seen = replace(RUN, started_at=NOON - timedelta(minutes=9))
    over = hear(seen, Polled(), told(status="completed"), NOON, SILENCE).event
    assert over
    assert (over.run.started_at, over.run.finished_at) == (seen.started_at, NOON)
    both = told(status="completed", started_at="2026-11-24T10:00:00Z", finished_at="2026-11-24T10:30:00+00:00")
    over = hear(seen, Polled(), both, NOON, SILENCE).event
    assert over
    assert over.run.started_at
    assert over.run.finished_at
    assert over.run.finished_at - over.run.started_at == timedelta(minutes=30)


def test_a_run_is_gone_when_it_is_not_known_three_times_in_a_row() -> None:
    heard = hear_all(Missing(), Missing(), told(), Missing(), Missing(), Missing())
    assert [one.lost for one in heard] == [None, None, None, None, None, GONE]


def test_a_run_that_nothing_is_heard_of_for_too_long_is_lost() -> None:
    answers = [told(), Unanswered("500"), Reported({"status": None}), told(progress=3), *[Unanswered("no answer")] * 32]
    lost = [one.lost for one in hear_all(*answers)]
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
def test_a_reason_is_kept_as_far_as_it_is_one(error, code, words) -> None:
    [heard] = hear_all(told(status="failed", **error))
    assert heard.event
    run = heard.event.run
    assert (run.error and run.error.code) == code
    assert words in (run.error.message if run.error else run.error_message or "")
