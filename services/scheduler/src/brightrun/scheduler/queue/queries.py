"""SQL of the queue: waiting jobs, users' shares, and what forecasts are made from."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.contracts.placement import Needs
from brightrun.contracts.scheduling import Share
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.queue.models import EarlyStop, Heads, Position, RunningGpus, UserShare, WaitingJob
from brightrun.scheduler.states import HOLDS_GPUS, AttemptState, JobState

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


WAITING_JOB = """
    w.job_id, w.user_id, w.gpu_type, w.gpus, w.preferred_cluster, w.priority, w.queued_at, w.expected_seconds,
    w.times_bypassed, w.base_model, w.inputs
"""

SHAPE = "user_id, gpu_type, gpus, base_model, inputs, preferred_cluster"


def _shape_of(table: str) -> str:
    return ", ".join(f"{table}.{column}" for column in SHAPE.split(", "))


SHAPES = f"""
    RECURSIVE shapes AS (
        (SELECT {SHAPE} FROM queue WHERE state = '{JobState.WAITING}' ORDER BY {SHAPE} LIMIT 1)
        UNION ALL
        SELECT next.* FROM shapes s CROSS JOIN LATERAL (
            SELECT {_shape_of("q")} FROM queue q
            WHERE state = '{JobState.WAITING}' AND ({_shape_of("q")}) > ({_shape_of("s")})
            ORDER BY {_shape_of("q")} LIMIT 1) next)
"""
"""The users with waiting jobs and what these need; the index is skipped through, however long the queue is."""

MAX_HEADS = 512
"""Waiting jobs that one decision reads, unless `MIN_VISIBLE` of each user and shape are more."""

MIN_VISIBLE = 4


async def insert_jobs(conn: Connection, jobs: Sequence[JobQueued], seconds: Sequence[float]) -> list[EarlyStop]:
    """Put new jobs, with how long each is expected to train, into the queue. Users without any join the clock.

    Returns the stop requests that came before their jobs; they are noted with the jobs, and deleted. Wakes dispatch.
    """
    rows = await conn.fetch(
        f"""
        WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::float8[],
                                 $7::timestamptz[], $8::text[], $9::bool[], $10::uuid[])
                AS new (job_id, user_id, gpu_type, gpus, job, expected_seconds, queued_at, base_model, inputs,
                        resumes_job)),
        joined AS (
            INSERT INTO users (user_id, virtual_time)
            SELECT DISTINCT user_id, moment FROM new, virtual_clock ORDER BY user_id
            ON CONFLICT (user_id) DO UPDATE SET virtual_time = excluded.virtual_time
            WHERE users.virtual_time < excluded.virtual_time AND NOT EXISTS (
                SELECT FROM queue w WHERE w.user_id = users.user_id AND w.state = '{JobState.WAITING}')),
        queued AS (
            INSERT INTO queue (job_id, user_id, gpu_type, gpus, base_model, inputs, job, state, expected_seconds,
                               queued_at, preferred_cluster, resume_from, pause_turn, pause_requested_at,
                               cancel_requested_at)
            SELECT job_id, user_id, gpu_type, gpus, base_model, inputs, job::jsonb, '{JobState.WAITING}',
                expected_seconds, queued_at, coalesce(earlier.cluster, ''), earlier.external_job_id, coalesce(turn, 0),
                CASE WHEN turn IS NOT NULL THEN now() END, CASE WHEN turn IS NULL THEN early.requested_at END
            FROM new LEFT JOIN early_stop_requests early USING (job_id) LEFT JOIN LATERAL (
                SELECT cluster, external_job_id FROM attempts a
                WHERE a.job_id = new.resumes_job AND a.user_id = new.user_id AND a.external_job_id IS NOT NULL
                  AND a.saved_step IS NOT NULL ORDER BY a.attempt DESC LIMIT 1) earlier ON true
            ON CONFLICT DO NOTHING RETURNING job_id),
        noted AS (
            DELETE FROM early_stop_requests early USING queued WHERE early.job_id = queued.job_id
            RETURNING early.job_id, early.turn)
        SELECT noted.* FROM (SELECT pg_notify(current_schema() || '.queue', '')) woken LEFT JOIN noted ON true
        """,
        [job.job_id for job in jobs], [job.user_id for job in jobs],
        [job.gpu.type for job in jobs], [job.gpu.count for job in jobs],
        [job.model_dump_json() for job in jobs], seconds, [job.occurred_at for job in jobs],
        [job.spec.base_model for job in jobs], [bool(job.validation or job.start) for job in jobs],
        [job.resumes_job for job in jobs],
    )  # fmt: skip
    return [EarlyStop(*row) for row in rows if row["job_id"]]


async def read_heads(conn: Connection, max_visible: int, default_quota: int | None) -> Heads:
    """The first jobs of each user and shape that may start now: fewer of each, the more users and shapes there are."""
    rows = await conn.fetch(
        f"""
        WITH {SHAPES},
        shares AS MATERIALIZED (SELECT {SHARE} FROM users u WHERE u.user_id IN (SELECT user_id FROM shapes))
        SELECT w.*, shares.*, clock.moment, visible.jobs
        FROM (SELECT least($2, greatest({MIN_VISIBLE}, {MAX_HEADS} / count(*))) AS jobs FROM shapes
              HAVING count(*) > 0) visible
        CROSS JOIN shapes s JOIN shares USING (user_id) CROSS JOIN virtual_clock clock CROSS JOIN LATERAL (
            SELECT {WAITING_JOB} FROM queue w
            WHERE w.state = '{JobState.WAITING}' AND w.not_before <= now()
              AND ({_shape_of("w")}) = ({_shape_of("s")})
            ORDER BY w.priority DESC, w.queued_at, w.job_id LIMIT visible.jobs) w
        """,
        default_quota, max_visible,
    )  # fmt: skip
    jobs = [WaitingJob(*row[:11]) for row in rows]
    shares = {share.user_id: share for share in (UserShare(*row[11:16]) for row in rows)}
    clock, visible = (rows[0]["moment"], rows[0]["jobs"]) if rows else (0.0, max_visible)
    return Heads(jobs, list(shares.values()), clock, visible)


async def count_bypasses(conn: Connection, times: Mapping[UUID, int]) -> None:
    """Add to how often waiting jobs were bypassed."""
    await conn.execute(
        f"""
        UPDATE queue SET times_bypassed = times_bypassed + times
        FROM unnest($1::uuid[], $2::int[]) AS bypassed (job_id, times)
        WHERE queue.job_id = bypassed.job_id AND state = '{JobState.WAITING}'
        """,
        list(times), list(times.values()),
    )  # fmt: skip


async def read_shapes(pool: Pool) -> list[tuple[UUID, Needs]]:
    """The users with waiting jobs, and what these need."""
    columns = "user_id, gpu_type, gpus, base_model, inputs"
    rows = await pool.fetch(f"WITH {SHAPES} SELECT DISTINCT {columns} FROM shapes")
    return [(row[0], Needs(*row[1:])) for row in rows]


async def lock_waiting(conn: Connection, user_id: UUID, needs: Needs) -> list[JobQueued]:
    """The user's waiting jobs with these needs, locked."""
    rows = await conn.fetch(
        f"""
        SELECT job::text FROM queue WHERE state = '{JobState.WAITING}' AND user_id = $1
          AND (gpu_type, gpus, base_model, inputs) = ($2, $3, $4, $5) FOR UPDATE
        """,
        user_id, *needs,
    )  # fmt: skip
    return [JobQueued.model_validate_json(row["job"]) for row in rows]


async def set_priority(conn: Connection, job_id: UUID, priority: int) -> bool:
    """Give a job another rank; False if there is no such job."""
    return await conn.execute("UPDATE queue SET priority = $2 WHERE job_id = $1", job_id, priority) == "UPDATE 1"


async def find_position(pool: Pool, user_id: UUID, job_id: UUID) -> Position | None:
    """The job's state; None if the user has no such job."""
    row = await pool.fetchrow(
        "SELECT state, not_before > now() FROM queue WHERE job_id = $1 AND user_id = $2", job_id, user_id
    )
    return Position(JobState(row[0]), row[1]) if row else None


async def count_by_state(pool: Pool) -> dict[str, int]:
    """How many jobs wait, pause before they are tried again, are being submitted, and run."""
    row = await pool.fetchrow(
        f"""
        SELECT (SELECT count(*) FROM queue WHERE state = '{JobState.WAITING}' AND not_before <= now()) AS waiting,
               (SELECT count(*) FROM queue WHERE state = '{JobState.WAITING}' AND not_before > now()) AS backing_off,
               (SELECT count(*) FROM attempts WHERE state = '{AttemptState.SUBMITTING}') AS submitting,
               (SELECT count(*) FROM attempts WHERE state = '{AttemptState.LIVE}') AS live
        """
    )
    return dict(row or {})


async def read_waiting(pool: Pool, limit: int) -> list[WaitingJob]:
    """All waiting jobs, those that back off too, oldest first."""
    rows = await pool.fetch(
        f"""
        SELECT {WAITING_JOB} FROM queue w WHERE w.state = '{JobState.WAITING}' ORDER BY w.queued_at, w.job_id LIMIT $1
        """,
        limit,
    )
    return [WaitingJob(*row) for row in rows]


async def read_running(pool: Pool, duration_ratio: float | None) -> list[RunningGpus]:
    """The GPUs that attempts hold. An unknown end is taken to be `duration_ratio` times the charged time away."""
    rows = await pool.fetch(
        f"""
        SELECT user_id, cluster, gpu_type, gpus, coalesce(
            expected_end, coalesce(accepted_at, created_at) + make_interval(secs => charged / gpus * $1))
        FROM attempts WHERE state IN {HOLDS_GPUS}
        """,
        duration_ratio,
    )
    return [RunningGpus(*row) for row in rows]


async def read_duration_ratio(pool: Pool, newest: int) -> float | None:
    """How long the newest completed attempts took, divided by how long they were expected to; None without any."""
    ratio: float | None = await pool.fetchval(
        """
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds / expected) FROM (
            SELECT extract(epoch FROM ended_at - accepted_at)::float8 AS seconds, charged / gpus AS expected
            FROM attempts WHERE outcome = 'completed' AND ended_at IS NOT NULL
            ORDER BY ended_at DESC LIMIT $1) finished
        WHERE expected > 0
        """,
        newest,
    )
    return ratio
