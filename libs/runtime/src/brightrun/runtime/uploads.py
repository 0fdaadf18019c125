"""Limits of uploads while they stream through a service: how many of a user at once, and how slow."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from brightrun.contracts.errors import TooManyUploads, UploadStalled, UploadTooSlow


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """A user's uploads at once; seconds without a byte; bytes a second once `grace_seconds` were waited; hours in all.

    Only the time counts that is spent waiting for the sender: a slow store is not the sender's fault.
    """

    per_user: int = 8
    stall_seconds: float = 30.0
    min_bytes_per_second: int = 8192
    grace_seconds: float = 30.0
    deadline_seconds: float = 6 * 3600.0


class Uploads:
    """The uploads in progress of one process."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._in_progress: Counter[UUID] = Counter()

    async def limited(self, user_id: UUID, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises TooManyUploads before its first byte, UploadStalled and UploadTooSlow later."""
        if self._in_progress[user_id] >= self._limits.per_user:
            raise TooManyUploads({"most": self._limits.per_user})
        self._in_progress[user_id] += 1
        try:
            async for piece in self._paced(body):
                yield piece
        finally:
            self._in_progress[user_id] -= 1
            self._in_progress += Counter()  # drops zeros

    async def _paced(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        limits, received, waited, began = self._limits, 0, 0.0, time.monotonic()
        while True:
            asked = time.monotonic()
            try:
                async with asyncio.timeout(limits.stall_seconds):
                    piece = await anext(body, None)
            except TimeoutError:
                raise UploadStalled({"seconds": limits.stall_seconds}) from None
            if piece is None:
                return
            now = time.monotonic()
            received, waited = received + len(piece), waited + now - asked
            if waited > limits.grace_seconds and received < limits.min_bytes_per_second * waited:
                raise UploadTooSlow({"min_bytes_per_second": limits.min_bytes_per_second})
            if now - began > limits.deadline_seconds:
                raise UploadTooSlow({"deadline_seconds": limits.deadline_seconds})
            yield piece
