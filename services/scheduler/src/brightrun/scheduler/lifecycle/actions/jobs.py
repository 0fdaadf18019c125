"""A job is over, waits for another attempt, or pauses."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.events import JobCompleted, JobPaused, JobQueued, Segment
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.scheduler.lifecycle.queries import jobs as queries
from brightrun.scheduler.lifecycle.rules import TerminalStatus
from brightrun.scheduler.limits.queries import read_segments
from brightrun.scheduler.models import Attempt


async def requeue_job(
    conn: Connection,
    job: JobQueued,
    pause: timedelta,
    *,
    preferred_cluster: str = "",
    resume_from: str | None = None,
    given_back: int | None = None,
    lost: bool = False,
) -> None:
    """Let the job wait for its next attempt, unless its user has requested otherwise meanwhile.

    It goes back to `preferred_cluster` if there is one, and resumes the run `resume_from` there.
    """
    requeued = await queries.requeue_job(
        conn, job.job_id, preferred_cluster, resume_from, pause, given_back=given_back, lost=lost
    )  # fmt: skip
    if requeued and requeued.cancelled:
        await complete_job(conn, job, JobStatus.CANCELLED, utc_now())
    elif requeued and requeued.paused:
        await pause_waiting_job(conn, job)


async def pause_waiting_job(conn: Connection, job: JobQueued) -> None:
    """Let a waiting job pause."""
    attempt = await queries.pause_job(conn, job.job_id, "", None, skip_attempt=True)
    if attempt is not None:
        await outbox.add(conn, _paused(job, attempt, finished_at=utc_now()))


async def pause_ended_job(
    conn: Connection, job: JobQueued, attempt: Attempt, run: RunStatus, segment: Segment | None
) -> None:
    """Let a job pause whose attempt has ended; it resumes what its run has saved."""
    saved = run.last_checkpoint_step is not None
    preferred_cluster, resume_from = (attempt.cluster, attempt.external_job_id) if saved else ("", None)
    if await queries.pause_job(conn, job.job_id, preferred_cluster, resume_from, skip_attempt=False) is not None:
        await outbox.add(
            conn,
            _paused(
                job,
                attempt.attempt,
                finished_at=segment.finished_at if segment else utc_now(),
                cluster=attempt.cluster,
                started_at=segment.started_at if segment else None,
                step=run.current_step if segment else run.last_checkpoint_step or 0,
            ),
        )


def _paused(job: JobQueued, attempt: int, **end: object) -> JobPaused:
    return JobPaused.model_validate(
        {
            "job_id": job.job_id,
            "user_id": job.user_id,
            "name": job.name,
            "attempt": attempt,
            "gpu": job.gpu,
            "pricing": job.pricing,
            **end,
        }
    )


async def complete_job(
    conn: Connection,
    job: JobQueued,
    status: TerminalStatus,
    finished_at: datetime,
    *,
    attempt: Attempt | None = None,
    run: RunStatus | None = None,
    started_at: datetime | None = None,
    segments: Sequence[Segment] | None = None,
    error: JobError | None = None,
    stopped_by: str | None = None,
) -> None:
    """End the job, once. `started_at`: of its last attempt, if that is billed; `segments`: of those before it."""
    if not await queries.end_job(conn, job.job_id):
        return
    if segments is None:
        segments = (await read_segments(conn, [job.job_id]))[job.job_id]
    await outbox.add(
        conn,
        JobCompleted(
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
            pricing=job.pricing,
            started_at=started_at,
            finished_at=finished_at,
            trained_tokens=run.trained_tokens if run else 0,
            error=error,
            segments=tuple(segments),
            stopped_by=stopped_by,
            validation=job.validation,
            start=job.start,
        ),
    )
