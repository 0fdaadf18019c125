"""How facts move a job. Whatever the order in which they come, the job ends up the same."""

import math
from dataclasses import replace
from datetime import timedelta

from brightrun.api.jobs.models import Ending, Job, Latest, Reading, StoredArtifact
from brightrun.contracts.events import (
    ArtifactReady,
    JobAttemptLost,
    JobCompleted,
    JobEvent,
    JobPaused,
    JobProgress,
    JobStarted,
)
from brightrun.contracts.job_status import JobState, JobStatus, advance

METRICS = {
    "training_loss": "training_loss",
    "validation_loss": "validation_loss",
    "learning_rate": "learning_rate",
    "throughput": "tokens_per_second",
    "gradient_norm": "gradient_norm",
    "token_accuracy": "token_accuracy",
    "gpu_memory_mb": "memory_mb",
    "gpu_utilization": "gpu_utilization",
}
"""Name in a job's `current_metrics`, as in its curve → field of a metric point."""


def apply_event(job: Job, event: JobEvent) -> Job:
    """The job after `event` is known."""
    match event:
        case JobStarted():
            return _start(job, event)
        case JobProgress():
            return _report(job, event)
        case JobAttemptLost():
            return replace(job, state=advance(job.state, JobState.queued_again(event.attempt)))
        case JobPaused():
            return _pause(job, event)
        case JobCompleted():
            return _end(job, event)
        case ArtifactReady():
            return _store(job, event)
        case _:
            raise TypeError(f"{type(event).__name__} moves no job")


def _start(job: Job, event: JobStarted) -> Job:
    return replace(
        job,
        state=advance(job.state, JobState(JobStatus.INITIALIZING, event.attempt)),
        unpausable_attempt=max(job.unpausable_attempt, 0 if event.pausable else event.attempt),
    )


def _report(job: Job, event: JobProgress) -> Job:
    latest = Latest.model_validate(event.model_dump(include=set(Latest.model_fields)))
    return replace(
        job,
        state=advance(job.state, JobState(event.status, event.attempt, event.seq)),
        latest=latest if job.latest is None or latest.order > job.latest.order else job.latest,
        metrics=_newest_readings(job.metrics, event),
    )


def _pause(job: Job, event: JobPaused) -> Job:
    known = {one.attempt: one for one in (*job.segments, *event.billed)}
    return replace(
        job,
        state=advance(job.state, JobState.paused(event.attempt)),
        segments=tuple(known[attempt] for attempt in sorted(known)),
    )


def _end(job: Job, event: JobCompleted) -> Job:
    if job.state.status.terminal:
        return job
    trained = [one.finished_at - one.started_at for one in event.billed]
    ending = Ending(
        started_at=min((one.started_at for one in event.billed), default=None),
        finished_at=event.finished_at,
        compute_cost=event.pricing.total(event.billed),
        trained_tokens=event.trained_tokens,
        error=event.error,
        seconds=sum(trained, timedelta()).total_seconds(),
        stopped_by=event.stopped_by,
    )
    return replace(job, state=advance(job.state, JobState(event.outcome, event.attempt)), ending=ending)


def _store(job: Job, event: ArtifactReady) -> Job:
    return replace(job, artifact=StoredArtifact(artifact_id=event.artifact_id, storage_cost=event.pricing.storage))


def _newest_readings(known: dict[str, Reading], event: JobProgress) -> dict[str, Reading]:
    """Each metric's last measured value; one that a progress did not measure keeps the value it had."""
    readings = dict(known)
    for point in event.points:
        for name, field in METRICS.items():
            value = getattr(point, field)
            if value is None or not math.isfinite(value):
                continue
            before = known.get(name)
            if before is None or (event.attempt, event.seq) > (before.attempt, before.seq):
                readings[name] = Reading(attempt=event.attempt, seq=event.seq, value=value)
    return readings
