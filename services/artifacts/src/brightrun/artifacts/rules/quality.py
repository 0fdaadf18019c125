"""How well a training went: the curve's summary and the verdict on it."""

import math
from collections.abc import Iterable

from brightrun.artifacts.models import Comparison, Curve, QualityMetrics
from brightrun.contracts.training import MetricPoint

FALLS = ((0.50, "excellent", 5), (0.25, "good", 4), (0.10, "fair", 3))
OVERFITTED_RISE = 1.10
UNKNOWN_SCORE = 3
HIGHEST_LOSS = 700.0
"""Beyond it, exp(loss) is more than a float holds."""


def extend(curve: Curve, points: Iterable[MetricPoint]) -> Curve:
    """The summary of a curve that goes on with `points`."""
    for point in points:
        trained, validated = point.training_loss, point.validation_loss
        curve = Curve(
            points=curve.points + 1,
            last_step=point.step,
            last_epoch=point.epoch,
            first_training_loss=trained if curve.first_training_loss is None else curve.first_training_loss,
            best_training_loss=_least(curve.best_training_loss, trained),
            last_training_loss=curve.last_training_loss if trained is None else trained,
            best_validation_loss=_least(curve.best_validation_loss, validated),
            last_validation_loss=curve.last_validation_loss if validated is None else validated,
        )
    return curve


def judge(curve: Curve, comparison: Comparison | None) -> QualityMetrics:
    """The verdict on a training.

    Convergence is how far the loss fell, as a share of where it began: from base model to adapter on held-out examples
    where that was measured, else from the first training loss to the last. A fall of 50 % is `excellent` (5 of 5),
    25 % `good` (4), 10 % `fair` (3), less is `poor` (2), none at all 1; without figures it is `unknown` (3). A
    validation loss that ends more than 10 % above its best shows overfitting and costs one score and one class.
    Perplexity is exp(final validation loss); the overfitting gap is final validation loss − final training loss.
    """
    convergence, score, reason = _converged(curve, comparison)
    if _overfits(curve):
        convergence = {"excellent": "good", "good": "fair", "fair": "poor"}.get(convergence, convergence)
        score = max(score - 1, 1)
        reason += (
            f" It overfits: validation loss rose from {curve.best_validation_loss:.3f}"
            f" to {curve.last_validation_loss:.3f}."
        )
    final, validated = curve.last_training_loss, curve.last_validation_loss
    return QualityMetrics(
        overall_score=score,
        convergence_quality=convergence,
        reason=reason,
        initial_training_loss=curve.first_training_loss,
        final_training_loss=final,
        best_training_loss=curve.best_training_loss,
        final_validation_loss=validated,
        best_validation_loss=curve.best_validation_loss,
        perplexity=math.exp(validated) if validated is not None and validated < HIGHEST_LOSS else None,
        overfitting_gap=validated - final if validated is not None and final is not None else None,
        base_loss=comparison.base_loss if comparison else None,
        adapter_loss=comparison.adapter_loss if comparison else None,
        compared_examples=comparison.examples if comparison else None,
    )


def _converged(curve: Curve, comparison: Comparison | None) -> tuple[str, int, str]:
    """Class, score and reason by the fall of the loss alone."""
    if comparison:
        what, before, after = "Loss on held-out examples", comparison.base_loss, comparison.adapter_loss
    elif curve.first_training_loss is not None and curve.last_training_loss is not None and curve.points > 1:
        what, before, after = "Training loss", curve.first_training_loss, curve.last_training_loss
    else:
        return "unknown", UNKNOWN_SCORE, "No losses were reported."
    fall = 1 - after / before if before > 0 else 0.0
    if fall <= 0:
        return "poor", 1, f"{what} did not fall: {before:.3f} before, {after:.3f} after."
    reason = f"{what} fell by {fall:.0%}, from {before:.3f} to {after:.3f}."
    for least, convergence, score in FALLS:
        if fall >= least:
            return convergence, score, reason
    return "poor", 2, reason


def _overfits(curve: Curve) -> bool:
    best, last = curve.best_validation_loss, curve.last_validation_loss
    return best is not None and last is not None and last > best * OVERFITTED_RISE


def _least(best: float | None, new: float | None) -> float | None:
    if best is None or new is None:
        return new if best is None else best
    return min(best, new)
