"""How well a training went: the curve's summary and the verdict on it. docs/quality.md tells it to users."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from brightrun.artifacts.models.models import Comparison, Curve, QualityMetrics
from brightrun.contracts.training import MetricPoint

FALLS = ((0.50, "excellent", 5), (0.25, "good", 4), (0.10, "fair", 3))
"""Of the loss, as a share of where it began."""
SHARES = ((0.90, "excellent", 5), (0.75, "good", 4), (0.60, "fair", 3))
"""Of the pairs whose preferred answer the adapter leans to more than its base model does."""
CHANCE = 0.5
LOWER_CLASS = {"excellent": "good", "good": "fair", "fair": "poor"}
OVERFITTED_RISE = 1.10
DIVERGED_RISE = 1.25
STILL_FALLING = 0.98
UNKNOWN_SCORE = 3
SMOOTHED_FROM = 20
"""Points of a curve from which on its ends are averages: single steps are noisy, and short curves have no more."""
OPENING = 5
SMOOTHING = 0.1
AVERAGES = {"trained_points", "opening_loss", "smooth_loss", "best_smooth_loss"}
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
            previous_validation_loss=(
                curve.previous_validation_loss if validated is None else curve.last_validation_loss
            ),
            **_averages(curve, trained),
        )
    return curve


def _averages(curve: Curve, trained: float | None) -> dict[str, Any]:
    """The mean of the first losses, and the running mean that after ten losses forgets a tenth with each."""
    if trained is None:
        return curve.model_dump(include=AVERAGES)
    count = curve.trained_points + 1
    smooth = _towards(curve.smooth_loss, trained, max(SMOOTHING, 1 / count))
    return {
        "trained_points": count,
        "opening_loss": _towards(curve.opening_loss, trained, 1 / count) if count <= OPENING else curve.opening_loss,
        "smooth_loss": smooth,
        "best_smooth_loss": _least(curve.best_smooth_loss, smooth),
    }


def _towards(average: float | None, value: float, share: float) -> float:
    return value if average is None else average + share * (value - average)


def evaluate(curve: Curve, comparison: Comparison | None, pairs: bool = False) -> QualityMetrics:
    """The verdict on a training; `pairs`: it learned from pairs of answers (dpo), so that its loss is no likelihood.

    Convergence is how far the loss fell, as a share of where it began: from base model to adapter on held-out examples
    where that was measured, else from the beginning of the training to its end. A fall of 50 % is `excellent` (5 of 5),
    25 % `good` (4), 10 % `fair` (3), less is `poor` (2), none at all 1; without figures it is `unknown` (3). Of pairs
    it is how often the adapter leans more to the preferred answer than its base model: 90 %, 75 %, 60 %, more than
    half. A validation loss that ends more than 10 % above its best shows overfitting, a training loss that ends more
    than 25 % above its best a training that diverged: either costs one score and one class. Perplexity is
    exp(validation loss); the overfitting gap is final validation loss − final training loss.
    """
    convergence, score, reason = _converged(curve, comparison)
    delivered = curve.last_validation_loss if comparison is None or pairs else comparison.adapter_loss
    if faults := [*_faults(curve, delivered)]:
        convergence, score = LOWER_CLASS.get(convergence, convergence), max(score - 1, 1)
    elif _still_falls(curve):
        faults = ["The validation loss was still falling at the end: more epochs may do better."]
    final = _end_of(curve)
    likelihood = comparison.adapter_loss if comparison else None if pairs else curve.last_validation_loss
    return QualityMetrics(
        overall_score=score,
        convergence_quality=convergence,
        reason=" ".join([reason, *faults]),
        initial_training_loss=curve.first_training_loss,
        final_training_loss=curve.last_training_loss,
        best_training_loss=curve.best_training_loss,
        final_validation_loss=curve.last_validation_loss,
        best_validation_loss=curve.best_validation_loss,
        perplexity=_perplexity(likelihood),
        overfitting_gap=delivered - final if delivered is not None and final is not None else None,
        base_perplexity=_perplexity(comparison.base_loss) if comparison else None,
        **(comparison.figures() if comparison else {}),
    )


def _converged(curve: Curve, comparison: Comparison | None) -> tuple[str, int, str]:
    """Class, score and reason by what was learned alone."""
    if comparison and comparison.reward_accuracy is not None:
        return _leaning(comparison.reward_accuracy, comparison.examples)
    opened, ended = _beginning_of(curve), _end_of(curve)
    if comparison:
        what, before, after = "Loss on held-out examples", comparison.base_loss, comparison.adapter_loss
    elif opened is not None and ended is not None and curve.points > 1:
        what, before, after = "Training loss", opened, ended
    else:
        return "unknown", UNKNOWN_SCORE, "No losses were reported."
    fall = 1 - after / before if before > 0 else 0.0
    if fall <= 0:
        return "poor", 1, f"{what} did not fall: {before:.3f} before, {after:.3f} after."
    reason = f"{what} fell by {fall:.0%}, from {before:.3f} to {after:.3f}."
    return *_class_of(fall, FALLS), reason


def _leaning(share: float, examples: int) -> tuple[str, int, str]:
    reason = f"It leans more to the preferred answer than its base model in {share:.0%} of {examples} held-out pairs."
    return ("poor", 1, reason) if share <= CHANCE else (*_class_of(share, SHARES), reason)


def _class_of(reached: float, steps: tuple[tuple[float, str, int], ...]) -> tuple[str, int]:
    return next(((convergence, score) for least, convergence, score in steps if reached >= least), ("poor", 2))


def _faults(curve: Curve, delivered: float | None) -> Iterator[str]:
    """What speaks against the training: it went on for too long, or too fast."""
    best, smooth, lowest = curve.best_validation_loss, curve.smooth_loss, curve.best_smooth_loss
    if best is not None and delivered is not None and delivered > best * OVERFITTED_RISE:
        yield f"It overfits: validation loss rose from {best:.3f} to {delivered:.3f}."
    if curve.trained_points >= SMOOTHED_FROM and smooth and lowest is not None and smooth > lowest * DIVERGED_RISE:
        yield f"It diverged: training loss rose from {lowest:.3f} to {smooth:.3f}; try a lower learning rate."


def _still_falls(curve: Curve) -> bool:
    before, last = curve.previous_validation_loss, curve.last_validation_loss
    return before is not None and last is not None and last < before * STILL_FALLING


def _beginning_of(curve: Curve) -> float | None:
    return curve.opening_loss if curve.trained_points >= SMOOTHED_FROM else curve.first_training_loss


def _end_of(curve: Curve) -> float | None:
    return curve.smooth_loss if curve.trained_points >= SMOOTHED_FROM else curve.last_training_loss


def _perplexity(loss: float | None) -> float | None:
    return math.exp(loss) if loss is not None and loss < HIGHEST_LOSS else None


def _least(best: float | None, new: float | None) -> float | None:
    if best is None or new is None:
        return new if best is None else best
    return min(best, new)
