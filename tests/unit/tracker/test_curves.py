"""Which points of a curve are drawn, and where a summary may stand for its chunks."""

from collections.abc import Sequence
from math import nan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brightrun.tracker.models import Curve
from brightrun.tracker.rules.curves import worth_drawing

HIGHEST = 10**9


def curve(
    training: Sequence[float],
    validation: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
    attempts: Sequence[int] | None = None,
) -> Curve:
    columns = {
        "step": steps if steps is not None else range(len(training)),
        "training_loss": training,
        "validation_loss": validation if validation is not None else [nan] * len(training),
    }
    return Curve(
        attempt=np.array(attempts if attempts is not None else np.ones(len(training)), dtype=np.int64),
        columns={name: np.array(values, dtype=np.float64) for name, values in columns.items()},
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


def test_only_the_requested_steps_are_drawn() -> None:
    assert list(worth_drawing(curve([1.0] * 10), 3, 5, 10)) == [3, 4, 5]


def test_an_empty_curve_draws_nothing() -> None:
    assert len(worth_drawing(curve([]), 0, HIGHEST, 10)) == 0


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), max_size=40))
def test_of_attempts_that_measured_a_step_the_newest_counts(points: list[tuple[int, int]]) -> None:
    points.sort(key=lambda point: point[0])
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
