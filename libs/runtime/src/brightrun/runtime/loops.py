"""Background work that a clock or an event starts."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable

import structlog

log = structlog.get_logger()

MAX_BACKOFF_SECONDS = 10.0
CANCEL_SECONDS = 3.0


async def repeat(
    name: str,
    work: Callable[[], Awaitable[bool]],
    wake: asyncio.Event,
    every: float,
    expected: tuple[type[Exception], ...] = (),
) -> None:
    """Run `work` at once, when `wake` is set, and at least each `every` seconds; at once again while it returns True.

    A failure is logged, without a traceback if it is `expected`, and retried with back-off; it never ends the loop.
    """
    failures = 0
    while True:
        wake.clear()
        began = time.monotonic()
        try:
            more, failures = await work(), 0
        except Exception as error:
            failures = 1 if time.monotonic() - began > MAX_BACKOFF_SECONDS else failures + 1
            log.warning("loop.failed", loop=name, error=repr(error), exc_info=not isinstance(error, expected))
            await asyncio.sleep(min(0.2 * 2**failures, MAX_BACKOFF_SECONDS))
            continue
        if not more:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), every)


async def cancel(tasks: Iterable[asyncio.Task[None]], retry_seconds: float = CANCEL_SECONDS) -> None:
    """Cancel the tasks until all have ended: a library may swallow a cancellation, and its loop would go on."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=retry_seconds)
