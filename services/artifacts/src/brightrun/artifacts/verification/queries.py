"""SQL of the verification of stored models."""

from datetime import timedelta

from brightrun.artifacts import leases
from brightrun.artifacts.leases import Lease
from brightrun.artifacts.verification.models import StoredModel
from brightrun.runtime.database import Connection, Pool


async def lease_model(conn: Connection, period: timedelta, lease: timedelta) -> StoredModel | None:
    """The stored model that was verified the longest ago; None if each was within `period`."""
    row = await conn.fetchrow(
        """
        UPDATE models SET leased_until = now() + $2::interval, fence = fence + 1 WHERE id = (
            SELECT id FROM models WHERE status IN ('stored', 'damaged') AND verified_at <= now() - $1::interval
              AND leased_until <= now()
            ORDER BY verified_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, user_id, status, fence
        """,
        period, lease,
    )  # fmt: skip
    return StoredModel(*row) if row else None


async def renew_lease(pool: Pool, model: StoredModel, duration: timedelta) -> bool:
    """Extend the lease; False if it is lost."""
    return await leases.renew("models", model.status, pool, model.lease, duration)


async def save_verdict(conn: Connection, lease: Lease, problem: str | None) -> bool:
    """Mark the model as damaged by this problem, or as good; False, and nothing is changed, if the lease is lost."""
    tag = await conn.execute(
        """
        UPDATE models SET status = CASE WHEN $3::text IS NULL THEN 'stored' ELSE 'damaged' END, problem = $3,
               verified_at = now(), leased_until = now()
        WHERE id = $1 AND fence = $2 AND status IN ('stored', 'damaged')
        """,
        lease.id, lease.fence, problem,
    )  # fmt: skip
    return tag == "UPDATE 1"
