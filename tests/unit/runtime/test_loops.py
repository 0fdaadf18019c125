"""Loops of a service: cancelled until they have ended."""

import asyncio
import contextlib

from brightrun.runtime.loops import cancel, repeat


async def test_a_loop_that_swallows_a_cancellation_still_ends() -> None:
    started, swallowed = asyncio.Event(), asyncio.Event()

    async def swallow() -> bool:
        with contextlib.suppress(asyncio.CancelledError):
            started.set()
            await asyncio.sleep(60)
        swallowed.set()
        return False

    loop = asyncio.create_task(repeat("swallowing", swallow, asyncio.Event(), 60.0))
    await started.wait()
    await asyncio.wait_for(cancel([loop], retry_seconds=0.01), 5)
    assert swallowed.is_set()
    assert loop.cancelled()
