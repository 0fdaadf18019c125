"""Projection of job events: the result does not depend on the order in which they arrive."""

import math
from dataclasses import replace

from brightrun.api.jobs.models import Ending, Job, Latest, Reading, StartedRun, StoredArtifact
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
    """The job after the event."""
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
            raise TypeError(f"{type(event).__name__} is no event of a job's projection")


def _start(job: Job, event: JobStarted) -> Job:
    run = StartedRun(attempt=event.attempt, cluster=event.cluster, external_job_id=event.external_job_id)
    runs = {known.attempt: known for known in (*job.runs, run)}
    return replace(
        job,
        state=advance(job.state, JobState(JobStatus.INITIALIZING, event.attempt)),
        runs=tuple(runs[attempt] for attempt in sorted(runs)),
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
    known = {segment.attempt: segment for segment in (*job.segments, *event.billed)}
    return replace(
        job,
        state=advance(job.state, JobState.paused(event.attempt)),
        segments=tuple(known[attempt] for attempt in sorted(known)),
    )


def _end(job: Job, event: JobCompleted) -> Job:
    if job.state.status.terminal:
        return job
    ending = Ending(
        started_at=min((segment.started_at for segment in event.billed), default=None),
        finished_at=event.finished_at,
        compute_cost=event.pricing.total(event.billed),
        trained_tokens=event.trained_tokens,
        error=event.error,
        seconds=sum(segment.seconds for segment in event.billed),
        stopped_by=event.stopped_by,
        resumable_until=event.resumable_until,
    )
    return replace(
        job, state=advance(job.state, JobState(event.outcome, event.attempt)), ending=ending, segments=event.billed
    )


def _store(job: Job, event: ArtifactReady) -> Job:
    return replace(job, artifact=StoredArtifact(artifact_id=event.artifact_id, storage_cost=event.pricing.storage))


def _newest_readings(known: dict[str, Reading], event: JobProgress) -> dict[str, Reading]:
    """The last measured value of each metric; metrics without a new value keep theirs."""
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
