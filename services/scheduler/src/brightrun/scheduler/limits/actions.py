"""Limits of jobs are kept."""

from collections.abc import Mapping, Sequence

from prometheus_client import Counter

from brightrun.contracts.events import BudgetReached, DurationReached, JobQueued, Segment
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.notify import notify
from brightrun.scheduler.limits import queries, rules
from brightrun.scheduler.limits.models import LimitReached
from brightrun.scheduler.models import Key

LIMITED = Counter("brightrun_limited_runs_total", "Runs that a limit of their jobs ended.", ["limit"])


async def set_allowances(conn: Connection, jobs: Mapping[Key, JobQueued]) -> None:
    """Decide how long the attempts of jobs with limits may train."""
    limited = {key: job for key, job in jobs.items() if rules.has_limit(job)}
    if not limited:
        return
    segments = await queries.read_segments(conn, [job.job_id for job in limited.values()])
    allowances = {key: rules.allowance(job, segments[job.job_id]) for key, job in limited.items()}
    await queries.save_allowances(conn, {key: allowance for key, allowance in allowances.items() if allowance})


async def stop_limited(conn: Connection) -> bool:
    """Have the runs finish that are about to exceed a limit of their jobs; False if there are none."""
    reached = await queries.take_reached(conn)
    if not reached:
        return False
    segments = await queries.read_segments(conn, [run.job.job_id for run in reached])
    for run in reached:
        LIMITED.labels(run.limit).inc()
        await outbox.add(conn, _event(run, segments[run.job.job_id]))
    await notify(conn, "stops")
    return True


def _event(run: LimitReached, before: Sequence[Segment]) -> BudgetReached | DurationReached:
    job = run.job
    trained = [*before, Segment(attempt=0, started_at=run.started_at, finished_at=utc_now())]
    if run.limit == "budget" and job.spec.max_cost is not None:
        spent = min(job.pricing.total(trained) + job.pricing.storage, job.spec.max_cost)
        return BudgetReached(job_id=job.job_id, user_id=job.user_id, cap=job.spec.max_cost, spent=spent)
    return DurationReached(
        job_id=job.job_id,
        user_id=job.user_id,
        cap=job.spec.max_duration or 0,
        trained=rules.trained_seconds(trained),
    )
