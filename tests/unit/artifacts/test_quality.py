"""The curve's summary and the verdict on it."""

import math

import pytest

from brightrun.artifacts.models.models import Comparison, Curve
from brightrun.artifacts.models.rules.quality import evaluate, extend
from brightrun.contracts.training import MetricPoint

STEADY = (2.0, 1.6, 1.2)
DIVERGED = (*[4.0] * 5, *[0.5] * 40, *[2.0] * 6)


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


def test_a_loss_over_pairs_is_no_likelihood():
    assert evaluate(curve(0.69, 0.2, validation=(0.69, 0.5)), None, pairs=True).perplexity is None


def test_a_curve_may_be_extended_piece_by_piece():
    points = [MetricPoint(step=step, epoch=0.0, training_loss=3.0 / (step + 1)) for step in range(9)]
    assert extend(extend(Curve(), points[:4]), points[4:]) == extend(Curve(), points)


def test_held_out_examples_count_more_than_the_training_loss():
    verdict = evaluate(curve(2.0, 0.1), Comparison(base_loss=2.0, adapter_loss=2.1, examples=24))
    assert verdict.overall_score == 1
    assert "held-out" in verdict.reason
    assert (verdict.base_loss, verdict.adapter_loss, verdict.compared_examples) == (2.0, 2.1, 24)


def test_perplexity_is_the_exponential_of_the_validation_loss():
    assert evaluate(curve(2.0, 1.0, validation=(1.5,)), None).perplexity == pytest.approx(math.exp(1.5))
    assert evaluate(curve(2.0, 1.0, validation=(5000.0,)), None).perplexity is None


def held_out(before: float, after: float, examples: int, *interval: float) -> Comparison:
    fall_interval = (interval[0], interval[1]) if interval else None
    return Comparison(base_loss=before, adapter_loss=after, examples=examples, fall_interval=fall_interval)


def pairs(reward: float, examples: int, preferred: float = 0.9) -> Comparison:
    return Comparison(
        base_loss=2.0,
        adapter_loss=2.4,
        examples=examples,
        reward_accuracy=reward,
        adapter_preference_accuracy=preferred,
    )


@pytest.mark.parametrize(
    ("trained", "comparison", "convergence", "score", "words"),
    [
        # Conversations: how far the loss on held-out examples fell, and how sure that is.
        (curve(*STEADY), held_out(2.0, 0.9, 50, 0.50, 0.60), "excellent", 5, "fell by 55% (95% interval 50% to 60%)"),
        (curve(*STEADY), held_out(2.0, 1.0, 500, 0.49, 0.51), "excellent", 5, "500 held-out examples"),
        (curve(*STEADY), held_out(2.0, 1.01, 500, 0.48, 0.51), "good", 4, ""),
        (curve(*STEADY), held_out(2.0, 1.3, 40, 0.30, 0.40), "good", 4, ""),
        (curve(*STEADY), held_out(2.0, 1.75, 40, 0.08, 0.17), "fair", 3, ""),
        (curve(*STEADY), held_out(2.0, 1.9, 40, 0.02, 0.08), "poor", 2, "fell by 5%"),
        (curve(*STEADY), held_out(2.0, 1.99, 40, -0.02, 0.03), "poor", 2, "may have learned nothing"),
        (curve(*STEADY), held_out(2.0, 2.0, 40, -0.02, 0.02), "poor", 1, "did not fall"),
        (curve(*STEADY), held_out(2.0, 2.5, 40, -0.30, -0.20), "poor", 1, "did not fall"),
        (curve(*STEADY), held_out(0.0, 0.0, 40), "poor", 1, ""),
        (curve(*STEADY), held_out(2.0, 1.0, 4, 0.42, 0.55), "excellent", 5, ""),
        (curve(*STEADY), held_out(2.0, 1.7, 4, -0.10, 0.40), "unknown", 3, "may be chance"),
        (curve(*STEADY), held_out(2.0, 1.0, 3, 0.42, 0.55), "unknown", 3, "too few"),
        (curve(*STEADY), held_out(2.0, 1.0, 1), "unknown", 3, "too few"),
        (curve(*STEADY), held_out(2.0, 1.0, 24), "excellent", 5, ""),
        (curve(*STEADY), held_out(2.0, 1.0, 9), "unknown", 3, "too few"),
        (curve(2.0, 0.1), held_out(2.0, 2.1, 24), "poor", 1, "held-out"),
        (curve(2.0, 0.5, validation=(1.0, 1.2)), held_out(3.0, 1.2, 24), "good", 4, "overfits"),
        (curve(2.0, 0.8, validation=(1.0, 1.5)), held_out(2.0, 1.0, 24), "excellent", 5, ""),
        (curve(*DIVERGED), held_out(3.0, 2.0, 24), "fair", 3, "diverged"),
        (curve(*DIVERGED), held_out(3.0, 2.0, 2), "poor", 2, "diverged"),
        (curve(2.0, 0.5, validation=(1.4, 1.2, 1.0)), held_out(2.0, 1.0, 24), "excellent", 5, "more epochs"),
        # Pairs: how often the adapter leans to the preferred answer.
        (curve(0.69, 0.2), pairs(1.0, 4, preferred=0.0), "unknown", 3, "rejected answer likelier in 100%"),
        (curve(0.69, 0.2), pairs(0.0, 4), "unknown", 3, "too few"),
        (curve(0.69, 0.2), pairs(1.0, 20), "excellent", 5, "100% of 20 held-out pairs (95% interval 84% to 100%)"),
        (curve(0.69, 0.2), pairs(0.9, 20), "excellent", 5, ""),
        (curve(0.69, 0.3), pairs(0.8, 20), "good", 4, ""),
        (curve(0.69, 0.5), pairs(0.65, 20), "unknown", 3, "may be chance"),
        (curve(0.69, 0.5), pairs(0.65, 200), "fair", 3, ""),
        (curve(0.69, 0.6), pairs(0.55, 100), "unknown", 3, "may be chance"),
        (curve(0.69, 0.6), pairs(0.55, 1000), "poor", 2, ""),
        (curve(0.69, 0.69), pairs(0.51, 1000), "poor", 2, "may have learned nothing"),
        (curve(0.69, 0.69), pairs(0.5, 100), "poor", 1, ""),
        (curve(0.69, 0.9), pairs(0.3, 20), "poor", 1, ""),
        (curve(0.69, 0.2), pairs(1.0, 20, preferred=0.2), "poor", 2, "rejected answer likelier in 80%"),
        (curve(0.69, 0.2), pairs(0.95, 400, preferred=0.49), "poor", 2, "rejected answer likelier in 51%"),
        (curve(0.69, 0.2), pairs(1.0, 20, preferred=0.5), "excellent", 5, ""),
        (curve(0.69, 0.2), pairs(0.4, 20, preferred=0.2), "poor", 1, ""),
        (curve(0.69, 0.2, validation=(0.4, 0.6)), pairs(1.0, 40), "good", 4, "overfits"),
        # No comparison: a validation loss is evidence, a training loss only of what went wrong.
        (curve(2.0, 0.5, validation=(1.0, 0.9)), None, "excellent", 5, "Validation loss fell by 55%"),
        (curve(2.0, 0.5, validation=(1.4, 1.41)), None, "good", 4, ""),
        (curve(2.0, 0.5, validation=(1.9,)), None, "poor", 2, ""),
        (curve(2.0, 0.5, validation=(2.3,)), None, "poor", 1, "did not fall"),
        (curve(2.0, 0.5, validation=(1.0, 1.2)), None, "fair", 3, "overfits"),
        (curve(2.0, 0.1), None, "unknown", 3, "nothing is known of its answers to new ones"),
        (curve(*[3.0] * 5, *[2.0] * 40, 0.1), None, "unknown", 3, "from 3.000 at the beginning to 1.82"),
        (curve(2.0, 2.0), None, "poor", 1, "did not fall"),
        (curve(2.0, 2.5), None, "poor", 1, "did not fall"),
        (curve(*DIVERGED), None, "poor", 2, "diverged"),
        (curve(2.0), None, "unknown", 3, "No losses"),
        (curve(validation=(1.0,)), None, "unknown", 3, "No losses"),
        (Curve(), None, "unknown", 3, "No losses"),
    ],
)
def test_the_verdict_is_that_of_an_expert(
    trained: Curve, comparison: Comparison | None, convergence: str, score: int, words: str
) -> None:
    of_pairs = comparison is not None and comparison.reward_accuracy is not None
    verdict = evaluate(trained, comparison, pairs=of_pairs)
    assert (verdict.convergence_quality, verdict.overall_score) == (convergence, score), verdict.reason
    assert words in verdict.reason


def test_the_figures_behind_a_verdict_are_shown():
    verdict = evaluate(curve(2.0, 0.8, validation=(1.0, 1.5)), held_out(2.0, 1.0, 24, 0.45, 0.55))
    assert (verdict.base_loss, verdict.adapter_loss, verdict.compared_examples) == (2.0, 1.0, 24)
    assert verdict.confidence_interval == (0.45, 0.55)
    assert verdict.overfitting_gap == pytest.approx(0.2)
    of_pairs = evaluate(curve(0.69, 0.2, validation=(0.69, 0.5)), pairs(0.9, 20), pairs=True)
    assert of_pairs.confidence_interval == pytest.approx((0.699, 0.972), abs=1e-3)
    assert of_pairs.perplexity == pytest.approx(math.exp(2.4))
    assert of_pairs.overfitting_gap == pytest.approx(0.3)
    assert evaluate(curve(2.0, 1.0, validation=(5000.0,)), None).perplexity is None
