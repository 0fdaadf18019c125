"""Loops of a service: they go on after failures, end when stopped, and otherwise take the process with them."""

import asyncio
import contextlib
import os
import subprocess
import sys

import pytest

from brightrun.runtime import loops
from brightrun.runtime.loops import Loop, stop
from tests.waiting import eventually


async def test_a_loop_that_swallows_a_cancellation_still_ends() -> None:
    started, swallowed = asyncio.Event(), asyncio.Event()

    async def swallow() -> bool:
        with contextlib.suppress(asyncio.CancelledError):
            started.set()
            await asyncio.sleep(60)
        swallowed.set()
        return False

    loop = Loop("swallowing", swallow, 60.0)
    loop.start()
    await started.wait()
    await asyncio.wait_for(stop([loop], retry_seconds=0.01), 5)
    assert swallowed.is_set()
    task = loop.ask_to_stop()
    assert task
    assert task.cancelled()


@pytest.mark.parametrize("end", ["raise asyncio.CancelledError", "raise SystemExit(0)"])
def test_a_loop_that_ends_takes_the_process_with_it(end: str) -> None:
    script = f"""
import asyncio
from brightrun.runtime.loops import Loop

async def work():
    {end}

async def main():
    Loop("ending", work, 60.0).start()
    await asyncio.sleep(60)

asyncio.run(main())
"""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", script], check=False, stdout=full, stderr=full, timeout=30)
    assert done.returncode == os.EX_SOFTWARE


async def test_a_turn_that_takes_too_long_is_stalled_and_a_failure_is_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "MAX_BACKOFF_SECONDS", 0.0)
    turns = asyncio.Queue[Exception | None]()

    async def work() -> bool:
        if error := await turns.get():
            raise error
        return True

    async def is_stalled() -> bool:
        return loop.is_stalled

    async def has_turned() -> bool:
        return not loop.is_stalled

    loop = Loop("slow", work, 0.0, max_turn_seconds=0.2)
    loop.start()
    await eventually(is_stalled)
    for outcome in (None, ValueError("no")):
        turns.put_nowait(outcome)
        await eventually(has_turned)
        await eventually(is_stalled)
    await stop([loop])
