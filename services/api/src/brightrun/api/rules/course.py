"""How facts move a job. Whatever the order in which they come, the job ends up the same."""

import math
from dataclasses import replace
from decimal import Decimal

from brightrun.api.models import Ending, Job, Latest, Reading, StoredArtifact
from brightrun.contracts.events import ArtifactReady, JobCompleted, JobEvent, JobProgress, JobStarted
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


def move(job: Job, event: JobEvent) -> Job:
    """The job after `event` is known."""
    match event:
        case JobStarted():
            return _start(job, event)
        case JobProgress():
            return _report(job, event)
        case JobCompleted():
            return _end(job, event)
        case ArtifactReady():
            return _store(job, event)
        case _:
            raise TypeError(f"{type(event).__name__} moves no job")


def _start(job: Job, event: JobStarted) -> Job:
    return replace(job, state=advance(job.state, JobState(JobStatus.INITIALIZING, event.attempt)))


def _report(job: Job, event: JobProgress) -> Job:
    latest = Latest.model_validate(event.model_dump(include=set(Latest.model_fields)))
    return replace(
        job,
        state=advance(job.state, JobState(event.status, event.attempt, event.seq)),
        latest=latest if job.latest is None or latest.order > job.latest.order else job.latest,
        metrics=_newest_readings(job.metrics, event),
    )


def _end(job: Job, event: JobCompleted) -> Job:
    if job.state.status.terminal:
        return job
    cost = event.pricing.compute_cost(event.started_at, event.finished_at) if event.started_at else Decimal(0)
    ending = Ending(
        started_at=event.started_at,
        finished_at=event.finished_at,
        compute_cost=cost,
        trained_tokens=event.trained_tokens,
        error=event.error,
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
