"""Clusters accept attempts, end them, or lose them."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.events import JobAttemptLost, JobQueued, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.notify import notify
from brightrun.scheduler.lifecycle import rules
from brightrun.scheduler.lifecycle.actions.jobs import complete_job, pause_ended_job, requeue_job
from brightrun.scheduler.lifecycle.models import StartedAttempt
from brightrun.scheduler.lifecycle.queries import attempts as queries
from brightrun.scheduler.limits.actions import set_allowances
from brightrun.scheduler.limits.queries import read_segments, save_segment
from brightrun.scheduler.models import Attempt

log = structlog.get_logger()

RETRIES = Counter("brightrun_retries_total", "Attempts that were lost and are tried again.", ["cluster", "error"])
WAITED = Histogram(
    "brightrun_queue_wait_seconds",
    "From when a job was queued to when a cluster accepted it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600),
)


async def accept_attempts(conn: Connection, runs: Sequence[tuple[Attempt, str]]) -> None:
    """Clusters have these runs: their jobs have started."""
    started = await queries.accept_attempts(conn, runs)
    for start in started:
        WAITED.observe(start.waited_seconds)
    if started:
        await outbox.add(conn, *map(_started, started))
        await set_allowances(conn, {start.attempt.key: start.job for start in started})
    if any(start.stop_requested for start in started):
        await notify(conn, "stops")
    if len(started) < len(runs):
        await queries.save_late_runs(conn, runs)


def _started(start: StartedAttempt) -> JobStarted:
    attempt, job = start.attempt, start.job
    return JobStarted(
        job_id=job.job_id,
        user_id=job.user_id,
        attempt=attempt.attempt,
        cluster=attempt.cluster,
        external_job_id=attempt.external_job_id or "",
        gpu=job.gpu,
        dataset_name=job.dataset.name,
        pausable=start.pausable,
    )


async def end_attempts(conn: Connection, ended: Sequence[tuple[Attempt, RunStatus]], max_attempts: int) -> None:
    """Runs of these locked attempts are over, with these last statuses."""
    used: dict[UUID, float] = defaultdict(float)
    for attempt, run in ended:
        if end := await queries.end_attempt(conn, attempt, run.status, rules.error_of(run)):
            await _apply_outcome(conn, attempt, run, max_attempts)
            used[attempt.user_id] += end.excess
    if used:
        await queries.charge_users(conn, used)
        await notify(conn, "clusters")


async def lose_attempt(conn: Connection, attempt: Attempt, error: JobError, max_attempts: int) -> None:
    """Give the attempt up: what its run still does or reports is ignored, and it is stopped where it is found."""
    await queries.lock_attempts(conn, [attempt.key])
    end = await queries.end_attempt(conn, attempt, "lost", error)
    if end is None:
        return
    run = RunStatus(
        external_job_id=attempt.external_job_id or "",
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        status="failed",
        stage="lost",
        progress=0,
        error=error,
        last_checkpoint_step=end.saved_step,
    )
    await _apply_outcome(conn, attempt, run, max_attempts)
    await queries.charge_users(conn, {attempt.user_id: end.excess})


async def _apply_outcome(conn: Connection, attempt: Attempt, run: RunStatus, max_attempts: int) -> None:
    job, requests = await queries.read_stop_requests(conn, attempt)
    before = (await read_segments(conn, [job.job_id]))[job.job_id]
    segment = rules.billed_segment(job, before, run, utc_now())
    if segment:
        await save_segment(conn, job.job_id, segment)
    match rules.decide_outcome(run, requests, max_attempts):
        case rules.Complete(status, stopped_by):
            await complete_job(
                conn,
                job,
                status,
                segment.finished_at if segment else run.finished_at or utc_now(),
                attempt=attempt,
                run=run,
                started_at=segment.started_at if segment else None,
                segments=before,
                error=rules.error_of(run) if status is JobStatus.FAILED else None,
                stopped_by=stopped_by,
            )
        case rules.Pause():
            await pause_ended_job(conn, job, attempt, run, segment)
        case rules.Retry():
            await _retry(conn, job, attempt, run, requests.lost_attempts)


async def _retry(conn: Connection, job: JobQueued, attempt: Attempt, run: RunStatus, lost_attempts: int) -> None:
    saved = run.last_checkpoint_step is not None
    lost, error = rules.is_lost(run), run.error
    if lost and error:
        log.info("attempt.lost", job_id=str(run.job_id), attempt=run.attempt, error=repr(error))
        RETRIES.labels(attempt.cluster, error.code).inc()
        event = JobAttemptLost(
            job_id=job.job_id,
            user_id=job.user_id,
            attempt=attempt.attempt,
            cluster=attempt.cluster,
            error=error,
            resumes=saved,
        )
        await outbox.add(conn, event)
    await requeue_job(
        conn,
        job,
        rules.retry_pause(lost_attempts + 1),
        preferred_cluster=attempt.cluster if saved else "",
        resume_from=run.external_job_id if saved else None,
        lost=lost,
    )
