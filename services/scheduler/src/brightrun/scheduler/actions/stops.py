"""Runs are brought to an end: by their jobs' limits, or without their clusters' word."""

import structlog
from prometheus_client import Counter

from brightrun.contracts.events import BudgetReached, DurationReached, Segment
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.scheduler import queries
from brightrun.scheduler.actions import runs
from brightrun.scheduler.queries import attempts, stops
from brightrun.scheduler.rules import limits
from brightrun.scheduler.rules.stops import CANCEL_PATIENCE

log = structlog.get_logger()

LIMITED = Counter("brightrun_limited_runs_total", "Runs that were told to finish by a limit of their jobs.", ["limit"])
UNHEARD = Counter(
    "brightrun_unheard_cancellations_total", "Jobs that ended as cancelled without their cluster's word.", ["cluster"]
)

NOT_HEARD = JobError(code="cancel_unheard", message="The cluster did not acknowledge the cancellation.", retryable=True)


async def stop_limited(conn: Connection) -> bool:
    """Have the runs finish whose time has come; False if there are none."""
    due = await stops.take_limited(conn)
    segments = await attempts.read_segments(conn, [job.job_id for job, _, _ in due]) if due else {}
    for job, limit, started_at in due:
        LIMITED.labels(limit).inc()
        trained = [*segments[job.job_id], Segment(attempt=0, started_at=started_at, finished_at=utc_now())]
        if limit == "budget" and job.spec.max_cost is not None:
            spent = job.pricing.total(trained) + job.pricing.storage
            event: BudgetReached | DurationReached = BudgetReached(
                job_id=job.job_id, user_id=job.user_id, cap=job.spec.max_cost, spent=min(spent, job.spec.max_cost)
            )
        else:
            event = DurationReached(
                job_id=job.job_id,
                user_id=job.user_id,
                cap=job.spec.max_duration or 0,
                trained=limits.trained_seconds(trained),
            )
        await outbox.add(conn, event)
    if due:
        await queries.wake(conn, "stops")
    return bool(due)


async def give_up_unheard(conn: Connection, most_attempts: int) -> None:
    """End cancelled jobs whose clusters do not answer; their runs are stopped when they do."""
    for attempt in await stops.find_unheard(conn, CANCEL_PATIENCE):
        log.warning("cancel.unheard", job_id=str(attempt.job_id), attempt=attempt.attempt, cluster=attempt.cluster)
        UNHEARD.labels(attempt.cluster).inc()
        await runs.lose(conn, attempt, NOT_HEARD, most_attempts)
