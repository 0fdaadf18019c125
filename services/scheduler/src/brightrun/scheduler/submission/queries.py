"""SQL of leases: who submits which attempt, and until when."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from brightrun.contracts.events import JobQueued
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection
from brightrun.scheduler.models import ATTEMPT_COLUMNS, Attempt
from brightrun.scheduler.queue.models import Placement
from brightrun.scheduler.states import (
    GIVE_BACK_ATTEMPT,
    LEASE_ATTEMPT,
    LEASE_JOB,
    REJECT_ATTEMPT,
    TAKE_OVER_ATTEMPT,
)
from brightrun.scheduler.submission.models import Lease

LEASE = f"""
    {ATTEMPT_COLUMNS}, q.job::text, a.resume_from, a.maybe_delivered,
    coalesce((c.capabilities ->> 'idempotent_submit')::bool, false)
"""


async def take_over(conn: Connection, slots: Mapping[str, int], lease: timedelta) -> list[Lease]:
    """Take over submissions whose leases have ended, with a new fence; no more than each cluster's `slots`."""
    rows = await conn.fetch(
        f"""
        WITH ended AS (
            SELECT a.job_id, a.attempt FROM unnest($1::text[], $2::int[]) AS slots (cluster, most)
            CROSS JOIN LATERAL (
                SELECT job_id, attempt FROM attempts
                WHERE state = '{TAKE_OVER_ATTEMPT.target}' AND cluster = slots.cluster AND leased_until < now()
                ORDER BY leased_until FOR UPDATE SKIP LOCKED LIMIT slots.most) a)
        UPDATE attempts a SET fence = a.fence + 1, leased_until = now() + $3::interval, maybe_delivered = true
        FROM ended, queue q, clusters c
        WHERE (a.job_id, a.attempt) = (ended.job_id, ended.attempt) AND q.job_id = a.job_id AND c.name = a.cluster
        RETURNING {LEASE}
        """,
        list(slots), list(slots.values()), lease,
    )  # fmt: skip
    return [_lease(row) for row in rows]


async def lease(conn: Connection, placements: Sequence[Placement], clock: float, lease: timedelta) -> list[Lease]:
    """Start an attempt of each placed job that still waits, in order, and charge its user.

    An attempt that was given back starts again under its number, with a new fence.
    """
    rows = await conn.fetch(
        f"""
        WITH placed AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::float8[])
                WITH ORDINALITY AS placed (job_id, cluster, charge, turn)),
        q AS (
            UPDATE queue SET state = '{LEASE_JOB.target}', attempt = queue.attempt + 1 FROM placed
            WHERE queue.job_id = placed.job_id AND state IN {LEASE_JOB.allowed}
            RETURNING queue.*, placed.cluster, placed.charge, placed.turn),
        a AS (
            INSERT INTO attempts AS known
                (job_id, attempt, state, user_id, cluster, gpu_type, gpus, charged, resume_from, leased_until)
            SELECT job_id, attempt, '{LEASE_ATTEMPT.target}', user_id, cluster, gpu_type, gpus, charge,
                   CASE WHEN preferred_cluster = cluster THEN resume_from END, now() + $4::interval FROM q
            ON CONFLICT (job_id, attempt) DO UPDATE SET
                state = excluded.state, fence = known.fence + 1, cluster = excluded.cluster,
                charged = excluded.charged, resume_from = excluded.resume_from, maybe_delivered = false,
                leased_until = excluded.leased_until
            WHERE known.state IN {LEASE_ATTEMPT.allowed}
            RETURNING known.*),
        due AS (SELECT user_id, sum(charge) AS charge FROM q GROUP BY user_id),
        locked AS (
            SELECT user_id FROM users WHERE user_id IN (SELECT user_id FROM due) ORDER BY user_id FOR UPDATE),
        charged AS (
            UPDATE users SET virtual_time = virtual_time + due.charge / weight FROM locked JOIN due USING (user_id)
            WHERE users.user_id = locked.user_id),
        advanced AS (UPDATE virtual_clock SET moment = greatest(moment, $5))
        SELECT {LEASE} FROM a JOIN q USING (job_id) JOIN clusters c ON c.name = a.cluster ORDER BY q.turn
        """,
        [placement.job.job_id for placement in placements], [placement.cluster for placement in placements],
        [placement.charge for placement in placements], lease, clock,
    )  # fmt: skip
    return [_lease(row) for row in rows]


async def repeat_later(conn: Connection, attempt: Attempt, pause: timedelta) -> None:
    """Repeat the unanswered submission after `pause`, unless the fence has moved on."""
    await conn.execute(
        f"""
        UPDATE attempts SET leased_until = now() + $4::interval, maybe_delivered = true
        WHERE job_id = $1 AND attempt = $2 AND fence = $3 AND state IN {TAKE_OVER_ATTEMPT.allowed}
        """,
        *attempt.key, attempt.fence, pause,
    )  # fmt: skip


async def give_back(conn: Connection, attempt: Attempt) -> float | None:
    """Release an attempt that the cluster did not accept and return its charge; None if the fence has moved on.

    It stays known, as an earlier submission of it may still reach the cluster.
    """
    charged: float | None = await conn.fetchval(
        f"""
        UPDATE attempts a SET state = '{GIVE_BACK_ATTEMPT.target}', charged = 0 FROM attempts before
        WHERE (a.job_id, a.attempt, a.fence) = ($1, $2, $3) AND a.state IN {GIVE_BACK_ATTEMPT.allowed}
          AND (before.job_id, before.attempt) = (a.job_id, a.attempt)
        RETURNING before.charged
        """,
        *attempt.key, attempt.fence,
    )  # fmt: skip
    return charged


async def reject(conn: Connection, attempt: Attempt, error: JobError) -> float | None:
    """End an attempt that the cluster rejected and return its charge; None if the fence has moved on."""
    charged: float | None = await conn.fetchval(
        f"""
        UPDATE attempts SET state = '{REJECT_ATTEMPT.target}', outcome = 'failed', error = $4, ended_at = now()
        WHERE job_id = $1 AND attempt = $2 AND fence = $3 AND state IN {REJECT_ATTEMPT.allowed} RETURNING charged
        """,
        *attempt.key, attempt.fence, error.model_dump(mode="json"),
    )  # fmt: skip
    return charged


def _lease(row: Any) -> Lease:
    return Lease(Attempt(*row[:7]), JobQueued.model_validate_json(row[7]), *row[8:])
