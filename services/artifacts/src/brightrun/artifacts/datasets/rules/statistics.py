"""Figures of the examples of a data set; tokens are estimated by a rule of thumb."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from brightrun.contracts.training import TrainingSpec
from brightrun.datasets.typed import MAX_CACHED_ROLES, Break, Figures, Roles, Tool

LONG_TOKENS: int = TrainingSpec.model_fields["max_length"].default
"""Longer examples are cut unless a job asks for more."""
MAX_ORDERS = 1000
"""Different orders of roles that are kept before they are added up."""
SHORT_CHARACTERS = 4
"""Less to learn than this is conspicuous."""


class Statistics:
    """Adds up the figures of examples."""

    def __init__(self) -> None:
        self.tokens = 0
        self._characters = self._learned = self._longest = 0
        self._orders: Counter[Roles] = Counter()
        self._roles: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()

    def add(self, examples: Sequence[Figures]) -> list[tuple[int, str, str]]:
        """Count examples, many at once; returns positions, codes and messages of what is conspicuous."""
        tokens, longest, characters, learned, roles = zip(*examples, strict=True)
        self.tokens += sum(tokens)
        self._characters += sum(characters)
        self._learned += sum(learned)
        self._longest = max(self._longest, *longest)
        self._sizes.update(map(int.bit_length, longest))
        self._orders.update(roles)
        if len(self._orders) > MAX_ORDERS or max(map(len, roles)) > MAX_CACHED_ROLES:
            self._add_up_roles()
        if max(longest) <= LONG_TOKENS and min(learned) >= SHORT_CHARACTERS and not any(map(_repeats, set(roles))):
            return []
        return [(place, *warning) for place, example in enumerate(examples) for warning in _warnings(example)]

    def figures(self) -> dict[str, Any]:
        """The sums. `histogram` counts examples by their tokens, in ranges that double."""
        self._add_up_roles()
        return {
            "tokens": self.tokens,
            "tokens_estimated": True,
            "learned_share": round(self._learned / self._characters, 4) if self._characters else 0.0,
            "longest_tokens": self._longest,
            "messages_by_role": dict(self._roles),
            "histogram": [
                {"min_tokens": 1 << (bits - 1), "max_tokens": (1 << bits) - 1, "examples": self._sizes[bits]}
                for bits in sorted(self._sizes)
            ],
        }

    def _add_up_roles(self) -> None:
        for roles, count in self._orders.items():
            for role in roles:
                if role is not Break:
                    self._roles[role.__name__.lower()] += count
        self._orders.clear()


def _repeats(roles: Roles) -> bool:
    return any(role is after and role is not Tool for role, after in pairwise(roles))


def _warnings(example: Figures) -> Iterator[tuple[str, str]]:
    _, longest, _, learned, roles = example
    if longest > LONG_TOKENS:
        message = f"about {longest} tokens: a job cuts it after max_length, which is {LONG_TOKENS} by default"
        yield "long_example", message
    if learned < SHORT_CHARACTERS:
        yield "short_example", f"there is little to learn, {learned} characters"
    if _repeats(roles):
        yield "repeated_role", "two messages of one role follow each other, which some chat templates refuse"
