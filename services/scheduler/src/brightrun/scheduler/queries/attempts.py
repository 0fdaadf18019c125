"""Attempts: who submits them, which run each is, and how they ended."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from brightrun.contracts.events import JobQueued, Segment
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Allowance, Attempt, Key, Lease, Placement, Running, Started

ATTEMPT = "a.job_id, a.user_id, a.attempt, a.cluster, a.fence, a.state, a.external_job_id"
LEASE = f"""
    {ATTEMPT}, q.job::text AS job, a.resume_from, a.unsure,
    coalesce((c.capabilities ->> 'idempotent_submit')::bool, false) AS idempotent,
    coalesce((c.capabilities ->> 'inputs')::bool, false) AS inputs
"""


async def take_lapsed(conn: Connection, slots: Mapping[str, int], lease: timedelta) -> list[Lease]:
    """Take over submissions whose holders are gone, with a new fence; no more than each cluster's `slots`."""
    rows = await conn.fetch(
        f"""
        WITH lapsed AS (
            SELECT a.job_id, a.attempt FROM unnest($1::text[], $2::int[]) AS slots (cluster, most)
            CROSS JOIN LATERAL (
                SELECT job_id, attempt FROM attempts
                WHERE state = 'submitting' AND cluster = slots.cluster AND leased_until < now()
                ORDER BY leased_until FOR UPDATE SKIP LOCKED LIMIT slots.most) a)
        UPDATE attempts a SET fence = a.fence + 1, leased_until = now() + $3::interval, unsure = true
        FROM lapsed, queue q, clusters c
        WHERE (a.job_id, a.attempt) = (lapsed.job_id, lapsed.attempt) AND q.job_id = a.job_id AND c.name = a.cluster
        RETURNING {LEASE}
        """,  # noqa: S608 - a constant
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
            UPDATE queue SET state = 'submitting', attempt = queue.attempt + 1 FROM placed
            WHERE queue.job_id = placed.job_id AND state = 'waiting'
            RETURNING queue.*, placed.cluster, placed.charge, placed.turn),
        a AS (
            INSERT INTO attempts AS known
                (job_id, attempt, user_id, cluster, gpu_type, gpus, charged, resume_from, leased_until)
            SELECT job_id, attempt, user_id, cluster, gpu_type, gpus, charge,
                   CASE WHEN home = cluster THEN resume_from END, now() + $4::interval FROM q
            ON CONFLICT (job_id, attempt) DO UPDATE SET
                state = 'submitting', fence = known.fence + 1, cluster = excluded.cluster, charged = excluded.charged,
                resume_from = excluded.resume_from, unsure = false, leased_until = excluded.leased_until
            RETURNING known.*),
        due AS (SELECT user_id, sum(charge) AS charge FROM q GROUP BY user_id),
        locked AS (
            SELECT user_id FROM users WHERE user_id IN (SELECT user_id FROM due) ORDER BY user_id FOR UPDATE),
        charged AS (
            UPDATE users SET virtual_time = virtual_time + due.charge / weight FROM locked JOIN due USING (user_id)
            WHERE users.user_id = locked.user_id),
        turned AS (UPDATE virtual_clock SET moment = greatest(moment, $5))
        SELECT {LEASE} FROM a JOIN q USING (job_id) JOIN clusters c ON c.name = a.cluster ORDER BY q.turn
        """,  # noqa: S608 - a constant
        [one.job.job_id for one in placements], [one.cluster for one in placements],
        [one.charge for one in placements], lease, clock,
    )  # fmt: skip
    return [_lease(row) for row in rows]


async def lock_attempts(conn: Connection, keys: Collection[Key]) -> None:
    """Let what an answer and what the stream say of the same attempts be written down one after the other."""
    await conn.execute(
        """
        SELECT FROM attempts JOIN unnest($1::uuid[], $2::int[]) AS keys (job_id, attempt) USING (job_id, attempt)
        ORDER BY job_id, attempt FOR UPDATE OF attempts
        """,
        [job_id for job_id, _ in keys], [attempt for _, attempt in keys],
    )  # fmt: skip


async def set_live(conn: Connection, runs: Sequence[tuple[Attempt, str]]) -> list[Started]:
    """Record which run each attempt is, by its external id; returns those that have started their job.

    Needs no fence: a cluster has one run of an attempt. A run of a job that is over meanwhile is recorded too, so that
    it is stopped.
    """
    rows = await conn.fetch(
        f"""
        WITH a AS (
            UPDATE attempts SET state = 'live', external_job_id = run.external_job_id, accepted_at = now(),
                poll_at = now(), stop_decided_at = CASE WHEN EXISTS (
                    SELECT FROM queue q WHERE q.job_id = attempts.job_id AND q.state = 'over') THEN now() END
            FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[])
                AS run (job_id, attempt, cluster, external_job_id)
            WHERE (attempts.job_id, attempts.attempt, attempts.cluster) = (run.job_id, run.attempt, run.cluster)
              AND state IN ('submitting', 'given_back')
            RETURNING attempts.*)
        UPDATE queue q SET state = 'live', attempt = a.attempt FROM a
        WHERE q.job_id = a.job_id AND q.state <> 'over'
        RETURNING {ATTEMPT}, q.job::text AS job, extract(epoch FROM now() - q.queued_at)::float8 AS waited,
            q.cancel_requested_at IS NOT NULL OR q.pause_requested_at IS NOT NULL AS unwanted
        """,  # noqa: S608 - a constant
        [attempt.job_id for attempt, _ in runs], [attempt.attempt for attempt, _ in runs],
        [attempt.cluster for attempt, _ in runs], [external_job_id for _, external_job_id in runs],
    )  # fmt: skip
    return [
        Started(Attempt(*row[:7]), JobQueued.model_validate_json(row["job"]), row["waited"], row["unwanted"])
        for row in rows
    ]


async def allow(conn: Connection, allowances: Mapping[Key, Allowance]) -> None:
    """Remember how long these attempts may train."""
    await conn.execute(
        """
        UPDATE attempts a SET allowed_seconds = allowed.seconds, stop_for = allowed.reason
        FROM unnest($1::uuid[], $2::int[], $3::float8[], $4::text[]) AS allowed (job_id, attempt, seconds, reason)
        WHERE (a.job_id, a.attempt) = (allowed.job_id, allowed.attempt)
        """,
        [job_id for job_id, _ in allowances], [attempt for _, attempt in allowances],
        [one.seconds for one in allowances.values()], [one.limit for one in allowances.values()],
    )  # fmt: skip


async def read_segments(conn: Connection, job_ids: Collection[UUID]) -> dict[UUID, list[Segment]]:
    """What is billed of the jobs' ended attempts, in order."""
    rows = await conn.fetch(
        """
        SELECT job_id, attempt, started_at, finished_at FROM attempts
        WHERE job_id = ANY($1) AND billed ORDER BY job_id, attempt
        """,
        list(job_ids),
    )
    segments: dict[UUID, list[Segment]] = {job_id: [] for job_id in job_ids}
    for row in rows:
        segments[row["job_id"]].append(Segment(**dict(row)))
    return segments


async def wait_for_answer(conn: Connection, attempt: Attempt, pause: timedelta) -> None:
    """Let the submission, whose answer did not come, be repeated after `pause`."""
    await conn.execute(
        """
        UPDATE attempts SET leased_until = now() + $4::interval, unsure = true
        WHERE job_id = $1 AND attempt = $2 AND fence = $3 AND state = 'submitting'
        """,
        *attempt.key, attempt.fence, pause,
    )  # fmt: skip


async def give_back(conn: Connection, attempt: Attempt) -> float | None:
    """Release an attempt that the cluster did not take and return what it was charged; None if the fence has moved on.

    It stays known, should an earlier submission of it reach the cluster late.
    """
    charged: float | None = await conn.fetchval(
        """
        UPDATE attempts a SET state = 'given_back', charged = 0 FROM attempts before
        WHERE (a.job_id, a.attempt, a.fence, a.state) = ($1, $2, $3, 'submitting')
          AND (before.job_id, before.attempt) = (a.job_id, a.attempt)
        RETURNING before.charged
        """,
        *attempt.key, attempt.fence,
    )  # fmt: skip
    return charged


async def reject_attempt(conn: Connection, attempt: Attempt, error: JobError) -> float | None:
    """Close an attempt that the cluster refused and return what it was charged; None if the fence has moved on."""
    charged: float | None = await conn.fetchval(
        """
        UPDATE attempts SET state = 'over', outcome = 'failed', error = $4, ended_at = now()
        WHERE job_id = $1 AND attempt = $2 AND fence = $3 AND state = 'submitting' RETURNING charged
        """,
        *attempt.key, attempt.fence, error.model_dump(mode="json"),
    )  # fmt: skip
    return charged


async def end_attempt(conn: Connection, attempt: Attempt, outcome: str, error: JobError | None) -> float | None:
    """Close an attempt whose run is over, or that is given up as `lost`; None if it was closed before.

    Returns the GPU-seconds that it used beyond those charged, less than 0 when it was charged too much.
    """
    excess: float | None = await conn.fetchval(
        """
        UPDATE attempts SET state = 'over', outcome = $3, error = $4, ended_at = now()
        WHERE job_id = $1 AND attempt = $2 AND state <> 'over'
        RETURNING gpus * coalesce(extract(epoch FROM now() - accepted_at), 0)::float8 - charged
        """,
        *attempt.key, outcome, error.model_dump(mode="json") if error else None,
    )  # fmt: skip
    return excess


async def bill(conn: Connection, segment: Segment, job_id: UUID) -> None:
    """Remember what is billed of an attempt."""
    await conn.execute(
        "UPDATE attempts SET billed = true, started_at = $3, finished_at = $4 WHERE job_id = $1 AND attempt = $2",
        job_id, segment.attempt, segment.started_at, segment.finished_at,
    )  # fmt: skip


async def read_running(pool: Pool, pace: float | None) -> list[Running]:
    """The GPUs that attempts hold. Who has not said when it ends is expected to take `pace` times what was charged."""
    rows = await pool.fetch(
        """
        SELECT user_id, cluster, gpu_type, gpus, coalesce(
            expected_end, coalesce(accepted_at, created_at) + make_interval(secs => charged / gpus * $1))
        FROM attempts WHERE state IN ('submitting', 'live')
        """,
        pace,
    )
    return [Running(*row) for row in rows]


async def read_pace(pool: Pool, newest: int) -> float | None:
    """How long the newest completed attempts took, divided by how long they were expected to; None without any."""
    pace: float | None = await pool.fetchval(
        """
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds / expected) FROM (
            SELECT extract(epoch FROM ended_at - accepted_at)::float8 AS seconds, charged / gpus AS expected
            FROM attempts WHERE outcome = 'completed' AND ended_at IS NOT NULL
            ORDER BY ended_at DESC LIMIT $1) finished
        WHERE expected > 0
        """,
        newest,
    )
    return pace


def _lease(row: Any) -> Lease:
    job = JobQueued.model_validate_json(row["job"])
    return Lease(Attempt(*row[:7]), job, row["resume_from"], row["unsure"], row["idempotent"], row["inputs"])
