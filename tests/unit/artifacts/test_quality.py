"""The curve's summary and the verdict on it."""

import math

import pytest

from brightrun.artifacts.models.models import Comparison, Curve
from brightrun.artifacts.models.rules.quality import evaluate, extend
from brightrun.contracts.training import MetricPoint


def curve(*losses: float, validation: tuple[float, ...] = ()) -> Curve:
    points = [MetricPoint(step=step, epoch=step / 10, training_loss=loss) for step, loss in enumerate(losses, 1)]
    points += [MetricPoint(step=len(losses), epoch=1.0, validation_loss=loss) for loss in validation]
    return extend(Curve(), points)


def test_a_curve_is_summed_up():
    assert curve(2.0, 1.0, 1.5, validation=(1.8, 1.9)) == Curve(
        points=5,
        last_step=3,
        last_epoch=1.0,
        first_training_loss=2.0,
        best_training_loss=1.0,
        last_training_loss=1.5,
        best_validation_loss=1.8,
        last_validation_loss=1.9,
        previous_validation_loss=1.8,
        trained_points=3,
        opening_loss=1.5,
        smooth_loss=1.5,
        best_smooth_loss=1.5,
    )


def test_a_long_curve_is_judged_by_averages_of_its_ends():
    steady = curve(*[3.0] * 5, *[2.0] * 40, 0.1)
    verdict = evaluate(steady, None)
    assert (verdict.convergence_quality, verdict.overall_score) == ("good", 4)
    assert "from 3.000 to 1.82" in verdict.reason
    assert verdict.final_training_loss == 0.1


def test_a_training_that_diverged_costs_a_class_and_is_explained():
    verdict = evaluate(curve(*[4.0] * 5, *[0.5] * 40, *[2.0] * 6), None)
    assert (verdict.convergence_quality, verdict.overall_score) == ("good", 4)
    assert "diverged" in verdict.reason


def test_a_loss_that_still_falls_is_pointed_out_and_costs_nothing():
    verdict = evaluate(curve(2.0, 0.5, validation=(1.4, 1.2, 1.0)), None)
    assert (verdict.convergence_quality, verdict.overall_score) == ("excellent", 5)
    assert "more epochs" in verdict.reason
    assert "more epochs" not in evaluate(curve(2.0, 0.5, validation=(1.4, 1.0, 0.999)), None).reason


def test_the_best_adapter_restored_does_not_overfit():
    comparison = Comparison(base_loss=2.0, adapter_loss=1.0, examples=24)
    verdict = evaluate(curve(2.0, 0.8, validation=(1.0, 1.5)), comparison)
    assert (verdict.convergence_quality, verdict.overall_score) == ("excellent", 5)
    assert verdict.overfitting_gap == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("share", "convergence", "score"),
    [(0.95, "excellent", 5), (0.8, "good", 4), (0.6, "fair", 3), (0.55, "poor", 2), (0.5, "poor", 1)],
)
def test_pairs_are_judged_by_which_answer_is_leaned_to(share: float, convergence: str, score: int):
    comparison = Comparison(base_loss=2.0, adapter_loss=2.4, examples=20, reward_accuracy=share)
    verdict = evaluate(curve(0.69, 0.2, validation=(0.69, 0.5)), comparison, pairs=True)
    assert (verdict.convergence_quality, verdict.overall_score) == (convergence, score)
    assert f"{share:.0%} of 20 held-out pairs" in verdict.reason
    assert verdict.perplexity == pytest.approx(math.exp(2.4))
    assert verdict.overfitting_gap == pytest.approx(0.3)


def test_a_loss_over_pairs_is_no_likelihood():
    assert evaluate(curve(0.69, 0.2, validation=(0.69, 0.5)), None, pairs=True).perplexity is None


def test_a_curve_may_be_extended_piece_by_piece():
    points = [MetricPoint(step=step, epoch=0.0, training_loss=3.0 / (step + 1)) for step in range(9)]
    assert extend(extend(Curve(), points[:4]), points[4:]) == extend(Curve(), points)


@pytest.mark.parametrize(
    ("before", "after", "convergence", "score"),
    [
        (2.0, 1.0, "excellent", 5),
        (2.0, 1.01, "good", 4),
        (2.0, 1.5, "good", 4),
        (2.0, 1.75, "fair", 3),
        (2.0, 1.9, "poor", 2),
        (2.0, 2.0, "poor", 1),
        (2.0, 2.5, "poor", 1),
        (0.0, 0.0, "poor", 1),
    ],
)
def test_convergence_is_how_far_the_loss_fell(before: float, after: float, convergence: str, score: int):
    by_training = evaluate(curve(before, after), None)
    by_comparison = evaluate(Curve(), Comparison(base_loss=before, adapter_loss=after, examples=24))
    for verdict in (by_training, by_comparison):
        assert (verdict.convergence_quality, verdict.overall_score) == (convergence, score)


def test_held_out_examples_count_more_than_the_training_loss():
    verdict = evaluate(curve(2.0, 0.1), Comparison(base_loss=2.0, adapter_loss=2.1, examples=24))
    assert verdict.overall_score == 1
    assert "held-out" in verdict.reason
    assert (verdict.base_loss, verdict.adapter_loss, verdict.compared_examples) == (2.0, 2.1, 24)


def test_overfitting_costs_a_class_and_is_explained():
    verdict = evaluate(curve(2.0, 0.5, validation=(1.0, 1.2)), None)
    assert (verdict.convergence_quality, verdict.overall_score) == ("good", 4)
    assert "overfits" in verdict.reason
    assert verdict.overfitting_gap == pytest.approx(0.7)


def test_perplexity_is_the_exponential_of_the_validation_loss():
    assert evaluate(curve(2.0, 1.0, validation=(1.5,)), None).perplexity == pytest.approx(math.exp(1.5))
    assert evaluate(curve(2.0, 1.0, validation=(5000.0,)), None).perplexity is None


@pytest.mark.parametrize("empty", [Curve(), curve(2.0), curve(validation=(1.0,))])
def test_without_figures_the_verdict_is_unknown(empty: Curve):
    verdict = evaluate(empty, None)
    assert (verdict.convergence_quality, verdict.overall_score) == ("unknown", 3)
