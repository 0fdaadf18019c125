"""Users' shares of the GPUs."""

from collections.abc import Collection
from uuid import UUID

from brightrun.contracts.scheduling import Share
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.queue.models import UserShare
from brightrun.scheduler.states import HOLDS_GPUS

SHARE = f"""
    u.user_id, u.weight, coalesce(u.quota_gpus, $1) AS quota,
    CASE WHEN coalesce(u.quota_gpus, $1) IS NULL THEN 0 ELSE (
        SELECT coalesce(sum(a.gpus), 0) FROM attempts a
        WHERE a.user_id = u.user_id AND a.state IN {HOLDS_GPUS})::int END AS gpus,
    u.virtual_time
"""
"""GPUs in use are counted only where there is a quota."""


async def read_shares(pool: Pool, user_ids: Collection[UUID], default_quota: int | None) -> list[UserShare]:
    """The users' shares."""
    rows = await pool.fetch(f"SELECT {SHARE} FROM users u WHERE u.user_id = ANY($2)", default_quota, list(user_ids))
    return [UserShare(*row) for row in rows]


async def set_share(conn: Connection, user_id: UUID, weight: float, quota: int | None) -> None:
    """Give a user a weight and a quota; `quota` None: the default."""
    await conn.execute(
        """
        INSERT INTO users (user_id, weight, quota_gpus, virtual_time)
        SELECT $1, $2, $3, moment FROM virtual_clock
        ON CONFLICT (user_id) DO UPDATE SET weight = excluded.weight, quota_gpus = excluded.quota_gpus
        """,
        user_id, weight, quota,
    )  # fmt: skip


async def read_share(pool: Pool, user_id: UUID, default_quota: int | None) -> Share:
    """A user's share, as operators see it; that of a new user, if this one is unknown."""
    (row,) = await pool.fetch(
        f"""
        SELECT asked.user_id, coalesce(u.weight, 1) AS weight, coalesce(u.quota_gpus, $1) AS quota_gpus, (
            SELECT coalesce(sum(a.gpus), 0) FROM attempts a
            WHERE a.user_id = asked.user_id AND a.state IN {HOLDS_GPUS})::int AS gpus
        FROM (SELECT $2::uuid AS user_id) asked LEFT JOIN users u USING (user_id)
        """,
        default_quota, user_id,
    )  # fmt: skip
    return Share(**dict(row))
