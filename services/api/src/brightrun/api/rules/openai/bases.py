"""Which base model a name means."""

from collections.abc import Sequence
from typing import Protocol

from brightrun.api.rules.openai.ids import FINE_TUNED


class Named(Protocol):
    """A base model of the installation."""

    @property
    def name(self) -> str:
        """What it is called here."""

    @property
    def aliases(self) -> Sequence[str]:
        """What clients may call it as well, such as the model of OpenAI that it stands in for."""


def choose(name: str, known: Sequence[Named]) -> str | None:
    """The base model of that name or alias; any name with an owner (`owner/model`) may be on the hub.

    A checkpoint's name (`ft:owner/model:…:ckpt-step-8`) is none.
    """
    for base in known:
        if name == base.name or name in base.aliases:
            return base.name
    return name if "/" in name and not name.startswith(FINE_TUNED) else None


def names(known: Sequence[Named]) -> list[str]:
    """Every name and alias that can be asked for."""
    return [name for base in known for name in (base.name, *base.aliases)]
