"""Hears that this process shall stop before the HTTP server begins to wait for its open requests."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType


def on_stop_signal(act: Callable[[], None]) -> None:
    """Call `act` on SIGTERM and SIGINT, ahead of the handlers that are set now; from the event loop's main thread."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        then = signal.getsignal(number)

        def hear(received: int, frame: FrameType | None, then: object = then) -> None:
            loop.call_soon_threadsafe(act)
            if callable(then):
                then(received, frame)

        signal.signal(number, hear)
