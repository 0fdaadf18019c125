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
from brightrun.scheduler.models import Attempt
from brightrun.scheduler.queries import attempts, queue, stops
from brightrun.scheduler.rules.endings import Outcome


async def wait_again(
    conn: Connection,
    job: JobQueued,
    last_attempt: int,
    pause: timedelta,
    *,
    home: str = "",
    resume_from: str | None = None,
    lost: bool = False,
) -> None:
    """Let the job wait for the attempt after `last_attempt`, unless its user wants otherwise meanwhile."""
    wish = await queue.set_waiting(
        conn, job.job_id, last_attempt, pause, home=home, resume_from=resume_from, lost=lost
    )  # fmt: skip
    if wish == "cancel":
        await complete(conn, job, JobStatus.CANCELLED, utc_now())
    elif wish == "pause":
        await pause_waiting(conn, job)


async def pause_waiting(conn: Connection, job: JobQueued) -> None:
    """Let a waiting job pause."""
    attempt = await stops.pause_waiting(conn, job.job_id)
    if attempt is not None:
        await outbox.add(conn, _paused(job, attempt, finished_at=utc_now()))


async def pause_ended(
    conn: Connection, job: JobQueued, attempt: Attempt, run: RunStatus, segment: Segment | None
) -> None:
    """Let the job pause whose attempt has ended for it; it goes on from what its run has saved."""
    saved = run.last_checkpoint_step is not None
    home, resume_from = (attempt.cluster, attempt.external_job_id) if saved else ("", None)
    if await stops.pause_ended(conn, attempt, home, resume_from):
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


def _paused(job: JobQueued, attempt: int, **ending: object) -> JobPaused:
    return JobPaused.model_validate(
        {
            "job_id": job.job_id,
            "user_id": job.user_id,
            "name": job.name,
            "attempt": attempt,
            "gpu": job.gpu,
            "pricing": job.pricing,
            **ending,
        }
    )


async def complete(
    conn: Connection,
    job: JobQueued,
    outcome: Outcome,
    finished_at: datetime,
    *,
    attempt: Attempt | None = None,
    run: RunStatus | None = None,
    started_at: datetime | None = None,
    segments: Sequence[Segment] | None = None,
    error: JobError | None = None,
    stopped_by: str | None = None,
) -> None:
    """The job is over, once. `started_at`: of its last attempt, if that is billed; `segments`: of those before it."""
    if not await queue.end_job(conn, job.job_id):
        return
    if segments is None:
        segments = (await attempts.read_segments(conn, [job.job_id]))[job.job_id]
    await outbox.add(
        conn,
        JobCompleted(
            job_id=job.job_id,
            user_id=job.user_id,
            name=job.name,
            attempt=attempt.attempt if attempt else 0,
            outcome=outcome,
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
