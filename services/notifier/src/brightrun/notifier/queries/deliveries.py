"""SQL on events that are on their way to endpoints, and on what became of them."""
# ruff: noqa: S608 - only constants of this file are put into statements

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.contracts.values import new_id
from brightrun.notifier.models import Attempt, Delivery, LeasedDelivery, Reply, Verdict, WebhookEvent
from brightrun.runtime.database import Connection
from brightrun.runtime.notify import notify

DELIVERY = "id, event_id, event_type, status, due_at, created_at"
ATTEMPTS_SHOWN = 20
PRUNED_AT_ONCE = 1000


async def insert(conn: Connection, endpoint_ids: Sequence[UUID], event: WebhookEvent) -> None:
    """Schedule the event for each endpoint that still exists, once."""
    await conn.execute(
        """
        INSERT INTO webhook_deliveries (id, endpoint_id, event_id, event_type, body, due_at)
        SELECT new.id, e.id, $3, $4, $5, greatest(now(), e.retry_at)
        FROM unnest($1::uuid[], $2::uuid[]) AS new (id, endpoint_id) JOIN webhook_endpoints e ON e.id = new.endpoint_id
        FOR KEY SHARE OF e
        ON CONFLICT (endpoint_id, event_id) DO NOTHING
        """,
        [new_id() for _ in endpoint_ids], endpoint_ids, event.event_id, event.type, event.body,
    )  # fmt: skip
    await notify(conn, "webhooks")


async def lease_next(conn: Connection, duration: timedelta, per_user: int, to_failing: int) -> LeasedDelivery | None:
    """Lease a due delivery of the user that the fewest are being sent for, the one that is due longest; None if none.

    Nobody has more than `per_user` sent at once, an endpoint one, and all endpoints that fail together `to_failing`. A
    delivery that was leased before counts as given up once its lease is over. Two senders that look at the same moment
    may exceed these limits by one, which does no harm.
    """
    row = await conn.fetchrow(
        """
        WITH sending AS (
            SELECT d.endpoint_id, e.user_id, e.failing_since IS NOT NULL AS fails
            FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE d.leased_until > now()
        ), users AS (SELECT user_id, count(*) AS sent FROM sending GROUP BY user_id)
        UPDATE webhook_deliveries SET fence = fence + 1, leased_until = now() + $1 WHERE id = (
            SELECT d.id FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id
            LEFT JOIN users u ON u.user_id = e.user_id
            WHERE d.status = 'pending' AND d.due_at <= now() AND e.enabled
              AND (d.leased_until IS NULL OR d.leased_until <= now())
              AND NOT EXISTS (SELECT FROM sending s WHERE s.endpoint_id = d.endpoint_id)
              AND coalesce(u.sent, 0) < $2
              AND (e.failing_since IS NULL OR (SELECT count(*) FROM sending WHERE fails) < $3)
            ORDER BY coalesce(u.sent, 0), d.due_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
        RETURNING id, endpoint_id, fence, attempts, event_id, event_type, body
        """,
        duration, per_user, to_failing,
    )  # fmt: skip
    if row is None:
        return None
    event = WebhookEvent(row["event_id"], row["event_type"], row["body"])
    return LeasedDelivery(row["id"], row["endpoint_id"], row["fence"], row["attempts"], event)


async def save_verdict(conn: Connection, lease: LeasedDelivery, verdict: Verdict) -> bool:
    """Give the delivery back with what becomes of it; False, and nothing done, if another sender has taken it."""
    saved = await conn.fetchval(
        """
        UPDATE webhook_deliveries SET status = $3, due_at = now() + $4, leased_until = NULL, attempts = attempts + 1
        WHERE id = $1 AND fence = $2 RETURNING true
        """,
        lease.delivery_id, lease.fence, verdict.status, verdict.pause,
    )  # fmt: skip
    return bool(saved)


async def delay(conn: Connection, endpoint_id: UUID, until: datetime) -> None:
    """Send nothing that waits for the endpoint before `until`."""
    await conn.execute(
        """
        UPDATE webhook_deliveries SET due_at = $2
        WHERE endpoint_id = $1 AND status = 'pending' AND due_at < $2 AND leased_until IS NULL
        """,
        endpoint_id, until,
    )  # fmt: skip


async def make_due(conn: Connection, endpoint_id: UUID) -> None:
    """Send everything that waits for the endpoint now; wakes the sender."""
    await conn.execute(
        "UPDATE webhook_deliveries SET due_at = now() WHERE endpoint_id = $1 AND status = 'pending' AND due_at > now()",
        endpoint_id,
    )
    await notify(conn, "webhooks")


async def insert_attempt(conn: Connection, delivery_id: UUID, at: datetime, reply: Reply) -> None:
    """Note one attempt in the delivery's log; the caller holds the delivery."""
    await conn.execute(
        """
        INSERT INTO webhook_attempts (delivery_id, number, at, status_code, duration_ms, error)
        SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5 FROM webhook_attempts WHERE delivery_id = $1
        """,
        delivery_id, at, reply.status_code, reply.duration_ms, reply.error,
    )  # fmt: skip


async def list_page(conn: Connection, endpoint_id: UUID, offset: int, limit: int) -> list[Delivery]:
    """The endpoint's deliveries, newest first."""
    rows = await conn.fetch(
        f"SELECT {DELIVERY} FROM webhook_deliveries WHERE endpoint_id = $1 ORDER BY id DESC OFFSET $2 LIMIT $3",
        endpoint_id, offset, limit,
    )  # fmt: skip
    return [Delivery(**row) for row in rows]


async def count(conn: Connection, endpoint_id: UUID) -> int:
    """How many deliveries the endpoint's log has."""
    return int(await conn.fetchval("SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = $1", endpoint_id))


async def list_attempts(conn: Connection, delivery_ids: Sequence[UUID]) -> dict[UUID, list[Attempt]]:
    """The newest attempts of each delivery, newest first."""
    rows = await conn.fetch(
        """
        SELECT a.* FROM unnest($1::uuid[]) AS d (id) CROSS JOIN LATERAL (
            SELECT delivery_id, number, at, status_code, duration_ms, error FROM webhook_attempts
            WHERE delivery_id = d.id ORDER BY number DESC LIMIT $2) a
        ORDER BY a.delivery_id, a.number DESC
        """,
        delivery_ids, ATTEMPTS_SHOWN,
    )  # fmt: skip
    attempts: dict[UUID, list[Attempt]] = {delivery_id: [] for delivery_id in delivery_ids}
    for row in rows:
        attempts[row["delivery_id"]].append(Attempt(**row))
    return attempts


async def replay(conn: Connection, endpoint_id: UUID, delivery_id: UUID) -> Delivery | None:
    """Send the endpoint's delivery again at once, with all its retries; None if there is none.

    What a sender that has it just now will learn of it is void.
    """
    row = await conn.fetchrow(
        f"""
        UPDATE webhook_deliveries SET
            status = 'pending', attempts = 0, due_at = now(), leased_until = NULL, fence = fence + 1
        WHERE id = $1 AND endpoint_id = $2 RETURNING {DELIVERY}
        """,
        delivery_id, endpoint_id,
    )  # fmt: skip
    await notify(conn, "webhooks")
    return Delivery(**row) if row else None


async def delete_older(conn: Connection, age: timedelta) -> bool:
    """Forget old deliveries, a bounded number at once; whether there may be more."""
    deleted = await conn.fetchval(
        """
        WITH deleted AS (
            DELETE FROM webhook_deliveries WHERE id IN (
                SELECT id FROM webhook_deliveries WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2)
            RETURNING 1)
        SELECT count(*) FROM deleted
        """,
        age, PRUNED_AT_ONCE,
    )  # fmt: skip
    return int(deleted) == PRUNED_AT_ONCE
