"""Attempts are accepted, end, or are lost; jobs are over, wait again, or pause. Events tell so."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.events import JobAttemptLost, JobCompleted, JobPaused, JobQueued, JobStarted, Segment
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.notify import notify
from brightrun.scheduler.lifecycle import queries, rules
from brightrun.scheduler.lifecycle.models import ResumePoint, StartedAttempt
from brightrun.scheduler.limits.actions import set_allowances
from brightrun.scheduler.limits.queries import read_segments, save_segment
from brightrun.scheduler.models import Attempt

log = structlog.get_logger()

ANYWHERE = ResumePoint()

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
        error, steps = rules.error_of(run), {"saved_step": run.last_checkpoint_step, "last_step": run.current_step}
        end = await queries.end_attempt(conn, attempt, run.status, error, **steps)
        if end:
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
                attempt=attempt,
                run=run,
                segment=segment,
                before=before,
                error=rules.final_error(run, requests) if status is JobStatus.FAILED else None,
                stopped_by=stopped_by,
            )
        case rules.Pause():
            await _pause_ended_job(conn, job, attempt, run, segment)
        case rules.Retry():
            await _retry(conn, job, attempt, run, requests.lost_attempts)


async def _retry(conn: Connection, job: JobQueued, attempt: Attempt, run: RunStatus, lost_attempts: int) -> None:
    resume, lost, error = _resume_point(attempt, run), rules.is_lost(run), run.error
    if lost and error:
        log.info("attempt.lost", **attempt.log_fields, error=repr(error))
        RETRIES.labels(attempt.cluster, error.code).inc()
        event = JobAttemptLost(
            job_id=job.job_id,
            user_id=job.user_id,
            attempt=attempt.attempt,
            cluster=attempt.cluster,
            error=error,
            resumes=bool(resume.run),
        )
        await outbox.add(conn, event)
    await requeue_job(conn, job, rules.retry_pause(lost_attempts + 1), resume, lost=lost)


def _resume_point(attempt: Attempt, run: RunStatus) -> ResumePoint:
    saved = run.last_checkpoint_step is not None
    return ResumePoint(attempt.cluster, run.external_job_id) if saved else ANYWHERE


async def requeue_job(
    conn: Connection,
    job: JobQueued,
    pause: timedelta,
    resume: ResumePoint = ANYWHERE,
    *,
    given_back: int | None = None,
    lost: bool = False,
) -> None:
    """Let the job wait for its next attempt, unless its user has requested otherwise meanwhile."""
    requeued = await queries.requeue_job(conn, job.job_id, resume, pause, given_back=given_back, lost=lost)
    if requeued and requeued.cancelled:
        await complete_job(conn, job, JobStatus.CANCELLED)
    elif requeued and requeued.paused:
        await pause_waiting_job(conn, job)


async def pause_waiting_job(conn: Connection, job: JobQueued) -> None:
    """Let a waiting job pause."""
    attempt = await queries.pause_job(conn, job.job_id, ANYWHERE, skip_attempt=True)
    if attempt is not None:
        await outbox.add(conn, _paused(job, attempt, finished_at=utc_now()))


async def _pause_ended_job(
    conn: Connection, job: JobQueued, attempt: Attempt, run: RunStatus, segment: Segment | None
) -> None:
    if await queries.pause_job(conn, job.job_id, _resume_point(attempt, run), skip_attempt=False) is None:
        return
    event = _paused(
        job,
        attempt.attempt,
        finished_at=segment.finished_at if segment else utc_now(),
        released_at=segment.released_at if segment else None,
        cluster=attempt.cluster,
        started_at=segment.started_at if segment else None,
        step=run.current_step if segment else run.last_checkpoint_step or 0,
    )
    await outbox.add(conn, event)


def _paused(job: JobQueued, attempt: int, **end: object) -> JobPaused:
    about = {name: getattr(job, name) for name in ("job_id", "user_id", "name", "gpu", "pricing")}
    return JobPaused.model_validate({**about, "attempt": attempt, **end})


async def complete_job(
    conn: Connection,
    job: JobQueued,
    status: rules.TerminalStatus,
    *,
    attempt: Attempt | None = None,
    run: RunStatus | None = None,
    segment: Segment | None = None,
    before: Sequence[Segment] | None = None,
    error: JobError | None = None,
    stopped_by: str | None = None,
) -> None:
    """End the job, once. `segment`: what of its last attempt is billed; `before`: of those before it."""
    if not await queries.end_job(conn, job.job_id):
        return
    if before is None:
        before = (await read_segments(conn, [job.job_id]))[job.job_id]
    run_ended_at = run.finished_at if run else None
    event = JobCompleted(
        job_id=job.job_id,
        user_id=job.user_id,
        name=job.name,
        attempt=attempt.attempt if attempt else 0,
        outcome=status,
        cluster=attempt.cluster if attempt else None,
        external_job_id=run.external_job_id if run else None,
        spec=job.spec,
        gpu=job.gpu,
        dataset=job.dataset,
        pricing=job.pricing.within(job.spec.max_cost),
        started_at=segment.started_at if segment else None,
        finished_at=segment.finished_at if segment else run_ended_at or utc_now(),
        released_at=segment.released_at if segment else None,
        trained_tokens=run.trained_tokens if run else 0,
        error=error,
        segments=tuple(before),
        stopped_by=stopped_by,
        resumable_until=None if status is JobStatus.COMPLETED else await queries.resumable_until(conn, job.job_id),
        validation=job.validation,
        start=job.start,
    )
    await outbox.add(conn, event)
