"""How long attempts to sign in have to wait.

An account takes `ACCOUNT.free` wrong passwords at once, from then on one after each pause, which doubles up to
`LONGEST`. A network takes `NETWORK.free`, over all accounts. Attempts from a network where the account was signed in
to before are counted apart from those of the rest of the world: an attacker elsewhere does not hold its owner up
there, and anywhere else for at most `LONGEST` at a time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from brightrun.api.access import Tries

LONGEST = timedelta(minutes=1)
FORGOTTEN_AFTER = timedelta(hours=1)
KNOWN_FOR = timedelta(days=90)
"""How long a network is remembered as one where the account was signed in to."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """How many attempts pass with no pause between them."""

    free: int


ACCOUNT = Throttle(free=5)
NETWORK = Throttle(free=50)


def count(tries: Tries, throttle: Throttle, now: datetime) -> Tries:
    """After one more attempt."""
    counted = 1 if now - tries.last_at >= FORGOTTEN_AFTER else tries.count + 1
    pause = _pause(counted - throttle.free)
    return Tries(counted, now, now + pause if pause else None)


def _pause(beyond: int) -> timedelta:
    """1 s after the last free attempt, then 2, 4, 8 …"""
    if beyond < 0:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(beyond, 10)), LONGEST)
