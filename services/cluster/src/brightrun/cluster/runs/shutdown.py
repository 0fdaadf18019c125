"""How a trainer is brought to its end: asked to finish, then to stop, then killed, each after a grace period."""

from dataclasses import dataclass
from typing import Literal

StopSignal = Literal["finish", "stop", "kill"]
StopRequest = Literal["finish", "stop", "exit"]
"""`exit`: the run is over and its trainer only has to go."""


@dataclass(slots=True)
class Shutdown:
    """The signals that one trainer is sent; grace periods in seconds."""

    finish_grace: float
    stop_grace: float
    _sent: StopSignal | None = None
    _sent_at: float = 0.0

    def next_signal(self, request: StopRequest | None, now: float) -> StopSignal | None:
        """The signal that is due at `now` (seconds of a monotonic clock), once each."""
        signal = self._due(request, now)
        if signal or (request == "exit" and self._sent in (None, "finish")):
            self._sent, self._sent_at = signal or "stop", now
        return signal

    def _due(self, request: StopRequest | None, now: float) -> StopSignal | None:
        passed = now - self._sent_at
        if self._sent == "stop":
            return "kill" if passed > self.stop_grace else None
        if request == "stop" and self._sent in (None, "finish"):
            return "stop"
        if request == "finish" and self._sent is None:
            return "finish"
        return "stop" if request == "finish" and self._sent == "finish" and passed > self.finish_grace else None
