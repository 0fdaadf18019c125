"""Attempts to sign in."""

from datetime import datetime, timedelta

from brightrun.api.access import Tries
from brightrun.runtime.database import Connection


async def signed_in_before(conn: Connection, source: bytes, within: timedelta) -> bool:
    """Whether an attempt from the source has ever succeeded, so far as that is remembered."""
    return bool(
        await conn.fetchval(
            "SELECT signed_in_at > now() - $2::interval FROM sign_in_tries WHERE source = $1", source, within
        )
    )


async def lock_tries(conn: Connection, source: bytes, now: datetime) -> Tries:
    """The attempts from the source so far; others that ask wait until this transaction ends."""
    row = await conn.fetchrow(
        """
        INSERT INTO sign_in_tries (source, last_at) VALUES ($1, $2)
        ON CONFLICT (source) DO UPDATE SET source = excluded.source
        RETURNING tries, last_at, blocked_until
        """,
        source, now,
    )  # fmt: skip
    assert row is not None  # noqa: S101 - an insert that updates returns its row
    return Tries(*row)


async def save_tries(conn: Connection, source: bytes, tries: Tries) -> None:
    """Store the attempts from the source."""
    await conn.execute(
        "UPDATE sign_in_tries SET tries = $2, last_at = $3, blocked_until = $4 WHERE source = $1",
        source, tries.count, tries.last_at, tries.blocked_until,
    )  # fmt: skip


async def give_back_try(conn: Connection, source: bytes) -> None:
    """One attempt from the source has succeeded."""
    await conn.execute("UPDATE sign_in_tries SET tries = greatest(tries - 1, 0) WHERE source = $1", source)


async def forget_tries(conn: Connection, source: bytes) -> None:
    """Let the source begin anew."""
    await conn.execute("UPDATE sign_in_tries SET tries = 0, blocked_until = NULL WHERE source = $1", source)


async def mark_signed_in(conn: Connection, source: bytes) -> None:
    """Remember that an attempt from the source has succeeded, and let it begin anew."""
    await conn.execute(
        """
        INSERT INTO sign_in_tries (source, signed_in_at) VALUES ($1, now())
        ON CONFLICT (source) DO UPDATE SET tries = 0, blocked_until = NULL, signed_in_at = now()
        """,
        source,
    )


async def delete_forgotten(conn: Connection, after: timedelta, known_for: timedelta) -> None:
    """Drop what counts no more, but wait for no attempt that is under way: it may wait for another of these."""
    await conn.execute(
        """
        DELETE FROM sign_in_tries WHERE source IN (
            SELECT source FROM sign_in_tries
            WHERE last_at < now() - $1::interval AND coalesce(signed_in_at < now() - $2::interval, true)
            FOR UPDATE SKIP LOCKED
        )
        """,
        after, known_for,
    )  # fmt: skip
