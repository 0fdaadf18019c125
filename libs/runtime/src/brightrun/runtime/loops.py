"""Background work that a clock or an event starts."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Collection

import structlog

log = structlog.get_logger()

MAX_BACKOFF_SECONDS = 10.0
MAX_TURN_SECONDS = 120.0
CANCEL_SECONDS = 3.0


class Loop:
    """Runs `work` at once, when `wake` is set, and at least each `every` seconds; at once again while it returns True.

    A failure is logged, without a traceback if it is `expected`, and retried with back-off; it does not end the loop.
    A loop that ends without `stop` ends the process: whoever supervises it starts a whole one. One that takes more than
    `max_turn_seconds` for a turn is stalled; None allows turns of any length.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[bool]],
        every: float,
        *,
        wake: asyncio.Event | None = None,
        expected: tuple[type[Exception], ...] = (),
        max_turn_seconds: float | None = MAX_TURN_SECONDS,
    ) -> None:
        self.name = name
        self._work = work
        self._every = every
        self._wake = wake or asyncio.Event()
        self._expected = expected
        self._max_turn_seconds = max_turn_seconds
        self._turned = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin in the background."""
        self._turned = time.monotonic()
        self._task = asyncio.create_task(self._run(), name=self.name)
        self._task.add_done_callback(self._on_end)

    @property
    def seconds_since_turn(self) -> float:
        """How long ago a turn ended, well or not; since the start before the first."""
        return time.monotonic() - self._turned

    @property
    def is_stalled(self) -> bool:
        """Whether its turn takes too long."""
        limit = self._max_turn_seconds
        return limit is not None and self.seconds_since_turn > self._every + MAX_BACKOFF_SECONDS + limit

    def ask_to_stop(self) -> asyncio.Task[None] | None:
        """Cancel it without waiting; its task, if it was started."""
        self._stopping = True
        if self._task:
            self._task.cancel()
        return self._task

    async def _run(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            began = time.monotonic()
            try:
                more, failures = await self._work(), 0
            except Exception as error:
                failures = 1 if time.monotonic() - began > MAX_BACKOFF_SECONDS else failures + 1
                is_expected = isinstance(error, self._expected)
                log.warning("loop.failed", loop=self.name, error=repr(error), exc_info=not is_expected)
                self._turned = time.monotonic()
                await asyncio.sleep(min(0.2 * 2**failures, MAX_BACKOFF_SECONDS))
                continue
            self._turned = time.monotonic()
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._every)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        try:
            log.critical("loop.ended", loop=self.name, error=None if task.cancelled() else repr(task.exception()))
        finally:
            os._exit(os.EX_SOFTWARE)


async def stop(loops: Collection[Loop], retry_seconds: float = CANCEL_SECONDS) -> None:
    """Cancel the loops until all have ended: a library may swallow a cancellation, and its loop would go on."""
    while running := {task for loop in loops if (task := loop.ask_to_stop()) and not task.done()}:
        await asyncio.wait(running, timeout=retry_seconds)
