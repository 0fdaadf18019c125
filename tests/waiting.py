"""Waiting for a fact instead of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T]], within: float = 10.0) -> T:
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
