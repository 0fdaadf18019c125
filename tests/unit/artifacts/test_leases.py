"""Work under a lease."""

import asyncio

import pytest

from brightrun.artifacts.leases import LeaseLost, while_leased

PERIOD = 0.01
"""Seconds."""


async def test_a_lease_is_renewed_until_the_work_is_done():
    renewed = 0
    enough = asyncio.Event()

    async def work() -> str:
        await enough.wait()
        return "done"

    async def renew() -> bool:
        nonlocal renewed
        renewed += 1
        if renewed == 3:
            enough.set()
        return True

    assert await while_leased(work(), renew, PERIOD) == "done"
    assert renewed == 3


async def test_work_ends_when_its_lease_is_lost():
    ended = False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async def renew() -> bool:
        return False

    with pytest.raises(LeaseLost):
        await while_leased(work(), renew, PERIOD)
    assert ended


async def test_what_the_work_raises_is_raised():
    async def work() -> None:
        raise ValueError("broken")

    async def renew() -> bool:
        return True

    with pytest.raises(ValueError, match="broken"):
        await while_leased(work(), renew, PERIOD)
