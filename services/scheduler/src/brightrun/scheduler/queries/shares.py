"""Users' rights to GPUs, and the clock that they share."""

from collections.abc import Collection, Mapping
from uuid import UUID

from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Share

SHARE = """
    u.user_id, u.weight, coalesce(u.quota_gpus, $1) AS quota,
    CASE WHEN coalesce(u.quota_gpus, $1) IS NULL THEN 0 ELSE (
        SELECT coalesce(sum(a.gpus), 0) FROM attempts a
        WHERE a.user_id = u.user_id AND a.state IN ('submitting', 'live'))::int END AS gpus,
    u.virtual_time
"""
"""GPUs in use are counted for those who have a quota only."""


async def lock_dispatch(conn: Connection) -> None:
    """Let one at a time decide what is queued, stopped and leased: so no quota is exceeded, and no request missed."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.dispatch', 0))")


async def read_shares(pool: Pool, user_ids: Collection[UUID], default_quota: int | None) -> list[Share]:
    """The users' shares."""
    rows = await pool.fetch(
        f"SELECT {SHARE} FROM users u WHERE u.user_id = ANY($2)",  # noqa: S608 - a constant
        default_quota, list(user_ids),
    )  # fmt: skip
    return [Share(*row) for row in rows]


async def charge(conn: Connection, gpu_seconds: Mapping[UUID, float]) -> None:
    """Add to what users have used; less than 0 gives it back."""
    await conn.execute(
        """
        WITH locked AS (SELECT user_id FROM users WHERE user_id = ANY($1) ORDER BY user_id FOR UPDATE)
        UPDATE users SET virtual_time = virtual_time + due.gpu_seconds / weight
        FROM locked JOIN unnest($1::uuid[], $2::float8[]) AS due (user_id, gpu_seconds) USING (user_id)
        WHERE users.user_id = locked.user_id
        """,
        list(gpu_seconds), list(gpu_seconds.values()),
    )  # fmt: skip


async def set_share(conn: Connection, user_id: UUID, weight: float, quota: int | None) -> None:
    """Give a user a weight and a quota; `quota` None: the setting's."""
    await conn.execute(
        """
        INSERT INTO users (user_id, weight, quota_gpus, virtual_time)
        SELECT $1, $2, $3, moment FROM virtual_clock
        ON CONFLICT (user_id) DO UPDATE SET weight = excluded.weight, quota_gpus = excluded.quota_gpus
        """,
        user_id, weight, quota,
    )  # fmt: skip


async def read_share(pool: Pool, user_id: UUID, default_quota: int | None) -> Share:
    """A user's share; that of a new user, if this one was never heard of. GPUs are counted."""
    (row,) = await pool.fetch(
        """
        SELECT asked.user_id, coalesce(u.weight, 1), coalesce(u.quota_gpus, $1), (
            SELECT coalesce(sum(a.gpus), 0) FROM attempts a
            WHERE a.user_id = asked.user_id AND a.state IN ('submitting', 'live'))::int,
            coalesce(u.virtual_time, clock.moment)
        FROM (SELECT $2::uuid AS user_id) asked CROSS JOIN virtual_clock clock LEFT JOIN users u USING (user_id)
        """,
        default_quota, user_id,
    )  # fmt: skip
    return Share(*row)
