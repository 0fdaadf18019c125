"""What a user's wish to pause or to resume makes of a job."""

from dataclasses import replace
from datetime import datetime

from brightrun.api.models import LIVE, Job
from brightrun.contracts.job_status import JobState, JobStatus


def can_pause(job: Job) -> bool:
    """Whether the job can be asked to pause: it waits, or its cluster can save it and go on from there."""
    if job.state.status.terminal or job.cancel_requested_at is not None:
        return False
    return job.state.status not in LIVE or job.unpausable_attempt != job.state.attempt


def pause(job: Job, now: datetime) -> Job:
    """The job, asked to pause; it is paused when its GPUs are free."""
    return replace(job, pause_turn=job.pause_turn + 1, pause_requested_at=now)


def can_resume(job: Job) -> bool:
    """Whether the job is paused, and wanted."""
    return job.state.status is JobStatus.PAUSED and job.cancel_requested_at is None


def resume(job: Job) -> Job:
    """The job waits again."""
    return replace(
        job,
        pause_turn=job.pause_turn + 1,
        pause_requested_at=None,
        state=JobState.queued_again(job.state.attempt),
    )
