"""What facts cost and say in the log, and which points of a curve are drawn."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import new_id
from brightrun.tracker.models import Curve
from brightrun.tracker.rules import cost_of, entry_of, stages_of, worth_drawing
from tests.builders import NOON, artifact_ready, job_completed, job_progress, job_queued, job_started, pricing

HIGHEST = 10**9


@given(
    rate=st.decimals("0.0001", "99", places=4),
    duration=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)),
)
def test_compute_is_rate_times_time_to_four_places(rate: Decimal, duration: timedelta) -> None:
    cost = cost_of(job_completed(pricing=pricing(str(rate)), started_at=NOON, finished_at=NOON + duration))
    exact = Fraction(rate) * (duration // timedelta(microseconds=1)) / 3_600_000_000
    assert cost is not None
    assert cost.cost_type == "compute"
    assert cost.amount == Decimal(int(exact * 10_000 + Fraction(1, 2))) / 10_000


@pytest.mark.parametrize("outcome", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_whatever_the_outcome_time_on_the_gpu_costs(outcome: JobStatus) -> None:
    cost = cost_of(job_completed(outcome=outcome, finished_at=NOON + timedelta(hours=1)))
    assert cost is not None
    assert cost.amount == Decimal("0.0500")


def test_a_job_that_never_ran_costs_nothing() -> None:
    assert cost_of(job_completed(attempt=0, outcome=JobStatus.CANCELLED, started_at=None)) is None


def test_a_stored_model_costs_what_its_job_was_promised() -> None:
    cost = cost_of(artifact_ready(pricing=pricing(storage="0.7500")))
    assert cost is not None
    assert (cost.cost_type, cost.amount, cost.attempt) == ("storage", Decimal("0.7500"), 0)


def test_only_endings_cost() -> None:
    assert cost_of(job_queued()) is None
    assert cost_of(job_started()) is None


def test_a_failure_is_logged_as_an_error_in_the_clusters_words() -> None:
    error = JobError(code="out_of_memory", message="The GPU ran out of memory.")
    entry = entry_of(job_completed(outcome=JobStatus.FAILED, error=error))
    assert (entry.type, entry.level, entry.message) == ("failed", "error", error.message)
    assert entry.data["error"]["code"] == "out_of_memory"


def test_each_stage_of_an_attempt_is_told_once() -> None:
    job_id = new_id()
    visited = [(1, "loading"), (1, "training"), (1, "evaluating"), (1, "training"), (2, "training")]
    entries = stages_of(
        job_progress(job_id=job_id, attempt=attempt, stage=stage, seq=seq)
        for seq, (attempt, stage) in enumerate(visited, start=1)
    )
    assert [entry.source for entry in entries] == [
        "stage:1:loading",
        "stage:1:training",
        "stage:1:evaluating",
        "stage:2:training",
    ]


def curve(
    training: Sequence[float],
    validation: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
    attempts: Sequence[int] | None = None,
) -> Curve:
    places = np.arange(len(training))
    return Curve(
        attempt=np.array(attempts if attempts is not None else np.ones(len(training)), dtype=np.int64),
        seq=places,
        offset=np.zeros_like(places),
        step=np.array(steps if steps is not None else places, dtype=np.float64),
        training_loss=np.array(training, dtype=np.float64),
        validation_loss=np.array(validation if validation is not None else [nan] * len(training), dtype=np.float64),
    )


LOSSES = st.lists(st.floats(-1e6, 1e6) | st.just(nan), min_size=1, max_size=400)


@given(losses=LOSSES, evaluated_each=st.integers(20, 60), max_points=st.integers(40, 100))
def test_a_thinned_curve_keeps_its_extremes_and_every_validation(
    losses: list[float], evaluated_each: int, max_points: int
) -> None:
    validation = [float(step) if step % evaluated_each == 0 else nan for step in range(len(losses))]
    kept = worth_drawing(curve(losses, validation), 0, HIGHEST, max_points)
    assert len(kept) <= max_points
    assert list(kept) == sorted(set(kept))
    assert set(np.flatnonzero(~np.isnan(validation))) <= set(kept)
    if not np.isnan(losses).all():
        shown = np.array(losses)[kept]
        assert np.nanmin(shown) == np.nanmin(losses)
        assert np.nanmax(shown) == np.nanmax(losses)


@given(seed=st.integers(0, 1000))
def test_extremes_survive_the_coarsest_view(seed: int) -> None:
    losses = np.random.default_rng(seed).normal(size=400).cumsum()
    kept = worth_drawing(curve(losses.tolist()), 0, HIGHEST, 10)
    assert {int(losses.argmin()), int(losses.argmax())} <= set(kept)


def test_a_curve_that_fits_is_drawn_whole_with_points_that_measured_no_loss() -> None:
    assert list(worth_drawing(curve([2.0, nan, 1.0]), 0, HIGHEST, 10)) == [0, 1, 2]


def test_many_validations_are_thinned_too() -> None:
    kept = worth_drawing(curve([1.0] * 1000, np.sin(np.arange(1000.0)).tolist()), 0, HIGHEST, 50)
    assert 25 <= len(kept) <= 50


def test_only_the_steps_asked_for_are_drawn() -> None:
    assert list(worth_drawing(curve([1.0] * 10), 3, 5, 10)) == [3, 4, 5]


def test_an_empty_curve_draws_nothing() -> None:
    assert len(worth_drawing(curve([]), 0, HIGHEST, 10)) == 0


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), max_size=40))
def test_of_attempts_that_measured_a_step_the_newest_counts(points: list[tuple[int, int]]) -> None:
    attempts, steps = [attempt for attempt, _ in points], [step for _, step in points]
    kept = worth_drawing(curve([1.0] * len(points), steps=steps, attempts=attempts), 0, HIGHEST, 100)
    newest = {step: max(attempt for attempt, measured in points if measured == step) for step in steps}
    last = {step: max(i for i, p in enumerate(points) if p == (newest[step], step)) for step in newest}
    assert list(kept) == [last[step] for step in sorted(last)]


def test_a_step_measured_again_after_a_resume_is_drawn_once_with_its_evaluation() -> None:
    steps = [1, 2, 2, 3, 2, 2, 3]
    training = [9.0, 8.0, nan, 7.0, 8.1, nan, 7.1]
    validation = [nan, nan, 8.5, nan, nan, 8.6, nan]
    kept = worth_drawing(curve(training, validation, steps=steps), 0, HIGHEST, 100)
    assert list(kept) == [0, 4, 5, 6]
