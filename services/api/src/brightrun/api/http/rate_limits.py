"""Rate limits of callers: token buckets in this process's memory.

Each gateway process counts on its own. A request costs a microsecond; the library `limits` iterates over all callers on
each request, which takes a millisecond for 10 000.
"""

import time
from collections.abc import Callable, Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from brightrun.api.errors import RateLimited

MINUTE = 60.0
MIN_SWEEP = 1000


class RateLimit:
    """Requests per minute of each caller, with bursts up to all of them; 0 is no limit."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = MINUTE / per_minute if per_minute else 0.0
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = MIN_SWEEP

    def spend(self, caller: Hashable) -> None:
        """Count a request of the caller. Raises RateLimited once the minute's are spent."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now) + self._interval
        if (wait := full_at - now - MINUTE) > self._interval / 1000:
            raise RateLimited(wait)
        if self._interval:
            self._full_at[caller] = full_at
            if len(self._full_at) > self._sweep_at:
                self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Drop callers whose buckets are full again, rarely enough to cost nothing."""
        self._full_at = {caller: full_at for caller, full_at in self._full_at.items() if full_at > now}
        self._sweep_at = max(MIN_SWEEP, 2 * len(self._full_at))


class RateLimits:
    """The limits of the gateway by kind of request."""

    def __init__(self, *, reads: int, changes: int, anonymous: int) -> None:
        self.reads = RateLimit(reads)
        self.changes = RateLimit(changes)
        self.anonymous = RateLimit(anonymous)

    def of(self, method: str) -> RateLimit:
        """The limit for an HTTP method with a token."""
        return self.reads if method in ("GET", "HEAD") else self.changes


SUBSCRIBER_BITS = 64
"""Of an IPv6 address: providers assign at least a /64 to a subscriber."""


@lru_cache(4096)
def network_of(address: str) -> str:
    """The network of one subscriber: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> SUBSCRIBER_BITS << SUBSCRIBER_BITS)) + f"/{SUBSCRIBER_BITS}"
