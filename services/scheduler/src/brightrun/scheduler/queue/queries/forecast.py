"""What a forecast is made from."""

from brightrun.runtime.database import Pool
from brightrun.scheduler.queue.models import RunningGpus, WaitingJob
from brightrun.scheduler.queue.queries.jobs import WAITING_JOB
from brightrun.scheduler.states import HOLDS_GPUS, JobState


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
