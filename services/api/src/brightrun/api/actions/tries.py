"""Attempts to sign in."""

from datetime import datetime

from brightrun.api.errors import TooManyTries
from brightrun.api.queries import tries
from brightrun.api.rules.sessions import digest
from brightrun.api.rules.tries import ACCOUNT, KNOWN_FOR, NETWORK, Throttle, count
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Connection


async def count_try(conn: Connection, email: str, network: str) -> None:
    """Count an attempt before its password is looked at, so that many at once get no further than one by one.

    Whether the address has an account makes no difference. What has to wait is not counted.
    """
    now = utc_now()
    await _count(conn, digest(network), NETWORK, now)
    await _count(conn, await _account(conn, email, network), ACCOUNT, now)


async def note_success(conn: Connection, email: str, network: str) -> None:
    """Let the account begin anew. The network gets back this one attempt only, or one's own account would free it."""
    await tries.give_back_try(conn, digest(network))
    await tries.forget_tries(conn, await _account(conn, email, network))
    await tries.mark_signed_in(conn, _pair(email, network))


async def _account(conn: Connection, email: str, network: str) -> bytes:
    """Where attempts on the account are counted: with all the world's, but apart where it was signed in to before."""
    pair = _pair(email, network)
    return pair if await tries.signed_in_before(conn, pair, KNOWN_FOR) else digest(email)


def _pair(email: str, network: str) -> bytes:
    return digest(f"{email} {network}")


async def _count(conn: Connection, source: bytes, throttle: Throttle, now: datetime) -> None:
    before = await tries.lock_tries(conn, source, now)
    if before.blocked_until and before.blocked_until > now:
        raise TooManyTries((before.blocked_until - now).total_seconds())
    await tries.save_tries(conn, source, count(before, throttle, now))
