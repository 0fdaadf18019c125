"""What clusters report of their runs, or do not, is written down."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.events import JobAttemptLost, JobQueued, Segment
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.scheduler import queries
from brightrun.scheduler.actions.dispatch import accept
from brightrun.scheduler.actions.ending import complete, pause_ended, wait_again
from brightrun.scheduler.models import Attempt
from brightrun.scheduler.queries import attempts, shares, stops, watch
from brightrun.scheduler.rules import endings, limits, retries, runs

log = structlog.get_logger()

RETRIES = Counter("brightrun_retries_total", "Attempts that were lost and are tried again.", ["cluster", "error"])


async def apply_events(conn: Connection, cluster: str, events: Sequence[RunEvent], most_attempts: int) -> None:
    """Write down what a cluster says: runs that were accepted, how far they are, and runs that are over."""
    watched = {one.attempt.key: one for one in await watch.find_watched(conn, cluster, runs.keys_of(events))}
    known = {key: one.attempt for key, one in watched.items()}
    accepted, ended = runs.accepted_by(events, known), runs.ends_of(events, known)
    notes = runs.notes_of(events, watched, utc_now())
    changing = {attempt.key for attempt, _ in (*accepted, *ended)} | {one.attempt.key for one in notes}
    if changing:
        await attempts.lock_attempts(conn, changing)
    if accepted:
        await accept(conn, accepted)
    if notes:
        await watch.save_notes(conn, notes)
    used: dict[UUID, float] = defaultdict(float)
    for attempt, run in ended:
        used[attempt.user_id] += await _end(conn, attempt, run, most_attempts, outcome=run.status)
    if used:
        await shares.charge(conn, used)
        await queries.wake(conn, "clusters")


async def lose(conn: Connection, attempt: Attempt, error: JobError, most_attempts: int) -> None:
    """Give the attempt up: whatever its run may still do or say counts no more, and it is stopped where it is found."""
    await attempts.lock_attempts(conn, [attempt.key])
    found = await watch.find_watched(conn, attempt.cluster, [attempt.key])
    run = RunStatus(
        external_job_id=attempt.external_job_id or "",
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        status="failed",
        stage="lost",
        progress=0,
        error=error,
        last_checkpoint_step=found[0].saved_step if found else None,
    )
    used = await _end(conn, attempt, run, most_attempts, outcome="lost")
    if used:
        await shares.charge(conn, {attempt.user_id: used})


async def _end(conn: Connection, attempt: Attempt, run: RunStatus, most_attempts: int, *, outcome: str) -> float:
    """Close the attempt; returns the GPU-seconds that its user was not charged yet."""
    error = retries.error_of(run)
    excess = await attempts.end_attempt(conn, attempt, outcome, error)
    if excess is None:
        return 0.0
    job, wishes, before = await stops.read_wishes(conn, attempt)
    segment = _billed(job, before, run)
    if segment:
        await attempts.bill(conn, segment, attempt.job_id)
    match endings.fate(run, wishes, most_attempts):
        case endings.Over(outcome=last, stopped_by=stopped_by):
            await complete(
                conn,
                job,
                last,
                segment.finished_at if segment else run.finished_at or utc_now(),
                attempt=attempt,
                run=run,
                started_at=segment.started_at if segment else None,
                segments=before,
                error=error if last is JobStatus.FAILED else None,
                stopped_by=stopped_by,
            )
        case endings.Paused():
            await pause_ended(conn, job, attempt, run, segment)
        case endings.Again():
            await _try_again(conn, job, attempt, run, wishes.losses)
    return excess


def _billed(job: JobQueued, before: Sequence[Segment], run: RunStatus) -> Segment | None:
    """What of the run is billed, after the segments before it."""
    if run.started_at is None or endings.is_lost(run):
        return None
    end = limits.billed_until(job, before, run.started_at, run.finished_at or utc_now())
    return Segment(attempt=run.attempt, started_at=run.started_at, finished_at=max(end, run.started_at))


async def _try_again(conn: Connection, job: JobQueued, attempt: Attempt, run: RunStatus, losses: int) -> None:
    saved = run.last_checkpoint_step is not None
    lost, error = endings.is_lost(run), run.error
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
    await wait_again(
        conn, job, attempt.attempt, retries.retry_pause(losses + 1),
        home=attempt.cluster if saved else "", resume_from=run.external_job_id if saved else None, lost=lost,
    )  # fmt: skip
