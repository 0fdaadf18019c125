"""Figures of the examples of a data set; tokens are estimated by a rule of thumb."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from brightrun.contracts.training import TrainingSpec
from brightrun.datasets.typed import Assistant, Conversation, Tool, estimate_tokens

LONG_TOKENS: int = TrainingSpec.model_fields["max_length"].default
"""Longer examples are cut unless a job asks for more."""
MAX_SHAPES = 1000
SHORT_CHARACTERS = 4
"""Less to learn than this is conspicuous."""


class Shape:
    """The roles of a conversation's messages, which many have in common; `count` of those not yet added up."""

    __slots__ = ("count", "repeated")

    def __init__(self, roles: tuple[type, ...]) -> None:
        self.count = 0
        self.repeated = any(role is after and role is not Tool for role, after in pairwise(roles))


class Statistics:
    """Adds up examples. A pair of answers counts as the two conversations that it is trained as."""

    def __init__(self) -> None:
        self.tokens = 0
        self._characters = self._learned = self._longest = 0
        self._shapes: dict[tuple[type, ...], Shape] = {}
        self._roles: Counter[type] = Counter()
        self._sizes: Counter[int] = Counter()

    def add(self, conversations: list[Conversation]) -> list[tuple[str, str]]:
        """Count an example; returns codes and messages of what is conspicuous about it."""
        longest = learned = 0
        repeated = False
        for conversation in conversations:
            messages = conversation.messages
            tokens = estimate_tokens(conversation)
            self.tokens += tokens
            longest = max(longest, tokens)
            shape = self._shape_of(tuple(map(type, messages)))
            repeated = repeated or shape.repeated
            for message in messages:
                size = len(message.content or "")
                if type(message) is Assistant:
                    if message.tool_calls:
                        size += sum(len(call.function.arguments) for call in message.tool_calls)
                    if message.weight != 0:
                        learned += size
                self._characters += size
        self._learned += learned
        self._longest = max(self._longest, longest)
        self._sizes[longest.bit_length()] += 1
        if longest > LONG_TOKENS or learned < SHORT_CHARACTERS or repeated:
            return list(_warnings(longest, learned, repeated))
        return []

    def figures(self) -> dict[str, Any]:
        """The sums. `histogram` counts examples by their tokens, in ranges that double."""
        self._add_up_roles()
        return {
            "tokens": self.tokens,
            "tokens_estimated": True,
            "learned_share": round(self._learned / self._characters, 4) if self._characters else 0.0,
            "longest_tokens": self._longest,
            "messages_by_role": {role.__name__.lower(): count for role, count in self._roles.items()},
            "histogram": [
                {"min_tokens": 1 << (bits - 1), "max_tokens": (1 << bits) - 1, "examples": self._sizes[bits]}
                for bits in sorted(self._sizes)
            ],
        }

    def _shape_of(self, roles: tuple[type, ...]) -> Shape:
        shape = self._shapes.get(roles)
        if shape is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._add_up_roles()
            shape = self._shapes[roles] = Shape(roles)
        shape.count += 1
        return shape

    def _add_up_roles(self) -> None:
        for roles, shape in self._shapes.items():
            for role in roles:
                self._roles[role] += shape.count
        self._shapes.clear()


def _warnings(longest: int, learned: int, repeated: bool) -> Iterator[tuple[str, str]]:
    if longest > LONG_TOKENS:
        message = f"about {longest} tokens: a job cuts it after max_length, which is {LONG_TOKENS} by default"
        yield "long_example", message
    if learned < SHORT_CHARACTERS:
        yield "short_example", f"there is little to learn, {learned} characters"
    if repeated:
        yield "repeated_role", "two messages of one role follow each other, which some chat templates refuse"
