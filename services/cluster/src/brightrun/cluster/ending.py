"""How a trainer is brought to its end: asked to finish, then to stop, then killed, each after a time of grace."""

from dataclasses import dataclass
from typing import Literal

Order = Literal["finish", "stop", "kill"]
Wish = Literal["finish", "stop", "exit"]


@dataclass(slots=True)
class Ending:
    """The orders that one trainer is given. `exit`: it has said its last word and only has to go."""

    finish_grace: float
    stop_grace: float
    _given: Order | None = None
    _given_at: float = 0.0

    def next(self, wish: Wish | None, now: float) -> Order | None:
        """The order that is due at `now` (seconds of a monotonic clock), once each."""
        order = self._due(wish, now)
        if order or (wish == "exit" and self._given in (None, "finish")):
            self._given, self._given_at = order or "stop", now
        return order

    def _due(self, wish: Wish | None, now: float) -> Order | None:
        passed = now - self._given_at
        if self._given == "stop":
            return "kill" if passed > self.stop_grace else None
        if wish == "stop" and self._given in (None, "finish"):
            return "stop"
        if wish == "finish" and self._given is None:
            return "finish"
        return "stop" if wish == "finish" and self._given == "finish" and passed > self.finish_grace else None
