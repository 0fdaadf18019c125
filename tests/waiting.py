"""Waiting for a fact instead of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


GENEROUS_SECONDS = 60.0
"""Long enough on a machine with three times more to do than it has cores."""


async def eventually(check: Callable[[], Awaitable[T]], within: float = GENEROUS_SECONDS) -> T:
    """The first truthy value of `check`; fails with its last value or error when there is none `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            value = await check()
            problem: object = value
            if value:
                return value
        except AssertionError as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {problem!r}")
        await asyncio.sleep(0.05)


def wait_until(check: Callable[[], T | None], within: float = GENEROUS_SECONDS) -> T:
    """`eventually` for tests without an event loop."""
    deadline = time.monotonic() + within
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.2)
    return value
