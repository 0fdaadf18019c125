"""Few honest numbers: a quantile that is a measured value, and a median that shows its spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Self


def quantile(values: Sequence[float], q: float) -> float:
    """The nearest-rank quantile: the smallest value that a share `q` of them does not exceed."""
    return sorted(values)[max(ceil(q * len(values)), 1) - 1]


@dataclass(frozen=True)
class Spread:
    """The median of the rounds' values, and the least and greatest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of one value per round."""
        return cls(round(median(values), 2), round(min(values), 2), round(max(values), 2))

    def __str__(self) -> str:
        spread = "" if self.low == self.high else f" [{self.low:.4g}–{self.high:.4g}]"
        return f"{self.median:.4g}{spread}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours as a multiple of theirs, round by round."""
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])
