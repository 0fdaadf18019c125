"""How well a training went: the curve's summary and the verdict on it. docs/quality.md tells it to users."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from brightrun.artifacts.models.models import Comparison, Curve, QualityMetrics
from brightrun.contracts.training import MetricPoint

Classes: TypeAlias = Sequence[tuple[float, str, int]]
FALLS: Classes = ((0.50, "excellent", 5), (0.25, "good", 4), (0.10, "fair", 3))
"""Of the loss, as a share of where it began."""
SHARES: Classes = ((0.90, "excellent", 5), (0.75, "good", 4), (0.60, "fair", 3))
"""Of the pairs whose preferred answer the adapter leans to more than its base model does."""
CHANCE = 0.5
LOWER_CLASS = {"excellent": "good", "good": "fair", "fair": "poor", "unknown": "poor"}
MIN_EXAMPLES, MIN_EXAMPLES_WITHOUT_INTERVAL, MIN_PAIRS = 4, 10, 10
"""Held-out examples below which there is no verdict."""
MIN_POINTS = 2
NORMAL_QUANTILE = 1.96
OVERFITTED_RISE = 1.10
DIVERGED_RISE = 1.25
STILL_FALLING = 0.98
UNKNOWN_SCORE, POOR_SCORE = 3, 2
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


class Verdict(NamedTuple):
    """Class, score and reason; `interval`: the confidence interval of the figure that it is by."""

    convergence: str
    score: int
    reason: str
    interval: tuple[float, float] | None = None


def evaluate(curve: Curve, comparison: Comparison | None, pairs: bool = False) -> QualityMetrics:
    """The verdict on a training; `pairs`: it learned from pairs of answers (dpo), so that its loss is no likelihood.

    Convergence is how far the loss fell on held-out examples, from base model to adapter: 50 % is `excellent` (5 of 5),
    25 % `good` (4), 10 % `fair` (3), less is `poor` (2), nothing 1. Of pairs it is how often the adapter leans more to
    the preferred answer than its base model: 90 %, 75 %, 60 %, more than half; an adapter that prefers the rejected
    answers is at most `poor`. Without a comparison, it is how far the validation loss ended below the first losses.
    It is `unknown` (3) with too few held-out examples, or if what was learned may be chance. A validation loss that
    ends more than 10 % above its best shows overfitting, a training loss that ends more than 25 % above its best a
    training that diverged: either costs one score and one class. Perplexity is exp(validation loss); the overfitting
    gap is final validation loss − final training loss.
    """
    convergence, score, reason, interval = _converged(curve, comparison)
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
        confidence_interval=interval,
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


def _converged(curve: Curve, comparison: Comparison | None) -> Verdict:
    """By what was learned alone."""
    if comparison is None:
        return _by_curve(curve)
    if comparison.reward_accuracy is None:
        return _by_held_out(comparison)
    return _by_pairs(comparison, comparison.reward_accuracy)


def _by_held_out(comparison: Comparison) -> Verdict:
    before, after, interval = comparison.base_loss, comparison.adapter_loss, comparison.fall_interval
    fall = 1 - after / before if before > 0 else 0.0
    least = MIN_EXAMPLES if interval else MIN_EXAMPLES_WITHOUT_INTERVAL
    what = f"Loss on {comparison.examples} held-out examples"
    if fall > 0:
        reason = f"{what} fell by {fall:.0%}{_shown(interval)}, from {before:.3f} to {after:.3f}."
    else:
        reason = f"{what} did not fall: {before:.3f} before, {after:.3f} after."
    verdict = _judge(fall, interval or (fall, fall), FALLS, enough=comparison.examples >= least)
    return Verdict(*verdict[:2], f"{reason}{verdict.reason}", interval)


def _by_pairs(comparison: Comparison, share: float) -> Verdict:
    interval, preferred = _share_interval(share, comparison.examples), comparison.adapter_preference_accuracy
    reason = (
        f"It leans more to the preferred answer than its base model in {share:.0%} of {comparison.examples} held-out "
        f"pairs{_shown(interval)}."
    )
    above_chance = [(least - CHANCE, convergence, score) for least, convergence, score in SHARES]
    low, high = interval
    enough = comparison.examples >= MIN_PAIRS
    verdict = _judge(share - CHANCE, (low - CHANCE, high - CHANCE), above_chance, enough=enough)
    if preferred is not None and preferred < CHANCE:
        reason += f" It still finds the rejected answer likelier in {1 - preferred:.0%} of them."
        if verdict.convergence in LOWER_CLASS and enough:
            verdict = Verdict("poor", POOR_SCORE, "")
    return Verdict(*verdict[:2], f"{reason}{verdict.reason}", interval)


def _by_curve(curve: Curve) -> Verdict:
    """Without a comparison: a validation loss is evidence, a training loss alone only of a training that failed."""
    opened, ended, validated = _beginning_of(curve), _end_of(curve), curve.last_validation_loss
    if opened is None or ended is None or curve.points < MIN_POINTS:
        return Verdict("unknown", UNKNOWN_SCORE, "No losses were reported.")
    what, after = ("Training loss", ended) if validated is None else ("Validation loss", validated)
    fall = 1 - after / opened if opened > 0 else 0.0
    if fall <= 0:
        return Verdict("poor", 1, f"{what} did not fall: {opened:.3f} at the beginning, {after:.3f} at the end.")
    reason = f"{what} fell by {fall:.0%}, from {opened:.3f} at the beginning to {after:.3f}."
    if validated is None:
        unseen = "No example was held out, so that nothing is known of its answers to new ones."
        return Verdict("unknown", UNKNOWN_SCORE, f"{reason} {unseen}")
    return Verdict(*_class_of(fall, FALLS), reason)


def _judge(learned: float, interval: tuple[float, float], classes: Classes, enough: bool) -> Verdict:
    """By a figure that is 0 if nothing was learned, and its interval. The reason says what the evidence lacks."""
    low, high = interval
    if not enough:
        return Verdict("unknown", UNKNOWN_SCORE, " These are too few for a verdict.")
    if learned <= 0:
        return Verdict("poor", 1, "")
    if low <= 0 and high < min(least for least, _, _ in classes):
        return Verdict("poor", POOR_SCORE, " It may have learned nothing.")
    if low <= 0:
        return Verdict("unknown", UNKNOWN_SCORE, " That may be chance: more held-out examples would tell.")
    return Verdict(*_class_of(learned, classes), "")


def _share_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` (Wilson 1927), which also holds for shares of 0 and 1."""
    squared = NORMAL_QUANTILE**2 / max(count, 1)
    middle = (share + squared / 2) / (1 + squared)
    half = math.sqrt(squared * (share * (1 - share) + squared / 4)) / (1 + squared)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def _shown(interval: tuple[float, float] | None) -> str:
    return f" (95% interval {interval[0]:.0%} to {interval[1]:.0%})" if interval else ""


def _class_of(reached: float, classes: Classes) -> tuple[str, int]:
    return next(
        ((convergence, score) for least, convergence, score in classes if reached >= least), ("poor", POOR_SCORE)
    )


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
