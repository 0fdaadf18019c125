"""How often a run's status is asked for, and what an answer means.

Clusters that speak only the original's API have no history: each answer that differs from the one before is an event of
our own making, numbered by us and timed by our clock.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid5

from pydantic import TypeAdapter, ValidationError

from brightrun.cluster_client.responses import Missing, Reported, StatusResponse, Unanswered
from brightrun.contracts.cluster_api import RunEvent, RunState, RunStatus
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError, MetricPoint
from brightrun.contracts.values import Utc
from brightrun.scheduler.models import Polled, Watched

FASTEST_SECONDS = 2.0
SLOWEST_SECONDS = 60.0
ENDING_SECONDS = 1.0
MAX_PER_SECOND = 20
"""Questions to one cluster, however many runs it has."""

MAX_DOUBLING = 10
MISSING_IN_A_ROW = 3
"""A run that the cluster does not know so often is gone: just after its submission it may not be known yet."""

STATES: Mapping[str, RunState] = {
    "queued": "queued",
    "initializing": "initializing",
    "running": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
METRICS = {
    "training_loss": "training_loss",
    "validation_loss": "validation_loss",
    "learning_rate": "learning_rate",
    "gradient_norm": "gradient_norm",
    "token_accuracy": "token_accuracy",
    "tokens_per_second": "tokens_per_second",
    "throughput": "tokens_per_second",
    "memory_mb": "memory_mb",
    "gpu_memory_mb": "memory_mb",
    "gpu_utilization": "gpu_utilization",
}
"""Name in a cluster's `metrics` → field of a metric point."""

MOMENT: TypeAdapter[datetime] = TypeAdapter(Utc)

GONE = JobError(
    code="run_gone",
    message="The cluster does not know the training any more.",
    advice="Try the job again.",
    retryable=True,
)
SILENT = JobError(
    code="cluster_silent",
    message="The cluster has not answered for too long.",
    advice="Try the job again.",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known after an answer; the event that it makes, if it says something new; why the run counts as lost."""

    polled: Polled
    event: RunEvent | None = None
    lost: JobError | None = None


def pause(polled: Polled, live: int, *, ending: bool) -> timedelta:
    """How long until the run is asked about again: short after a change, ever longer while there is none.

    `ending`: it was told to end. `live`: how many runs are asked about.
    """
    if ending or polled.missing:
        return timedelta(seconds=ENDING_SECONDS)
    usual = min(FASTEST_SECONDS * 2 ** min(polled.quiet, MAX_DOUBLING), SLOWEST_SECONDS)
    return timedelta(seconds=max(usual, live / MAX_PER_SECOND))


def hear(watched: Watched, polled: Polled, answer: StatusResponse, now: datetime, silence: timedelta) -> Heard:
    """What the answer adds; a run is lost when it is not known, or not told of for `silence`."""
    match answer:
        case Reported(body) if (state := _state_of(body, ran=polled.ran)) is not None:
            return _told(watched, polled, body, state, now)
        case Missing():
            missing = polled.missing + 1
            after = polled.model_copy(update={"missing": missing})
            return Heard(after, lost=GONE if missing >= MISSING_IN_A_ROW else None)
        case Reported() | Unanswered():
            since = polled.failing_since or now
            after = polled.model_copy(update={"failing_since": since, "quiet": polled.quiet + 1})
            return Heard(after, lost=SILENT if now - since >= silence else None)


def _told(watched: Watched, polled: Polled, body: Mapping[str, Any], state: RunState, now: datetime) -> Heard:
    run = _run_of(watched, body, state, now)
    seen = _digest(run.model_dump_json(exclude={"started_at", "finished_at"}))
    known = polled.model_copy(
        update={"missing": 0, "failing_since": None, "ran": polled.ran or state not in ("queued", "initializing")}
    )
    if seen == polled.seen:
        return Heard(known.model_copy(update={"quiet": polled.quiet + 1}))
    point = _digest(run.metrics.model_dump_json()) if run.metrics else polled.point
    seq = polled.seq + 1
    event = RunEvent(
        cursor=0,
        event_id=uuid5(run.job_id, f"{run.attempt}/{seq}"),
        at=now,
        seq=seq,
        run=run,
        points=(run.metrics,) if run.metrics and point != polled.point else (),
    )
    return Heard(known.model_copy(update={"quiet": 0, "seen": seen, "seq": seq, "point": point}), event)


def _state_of(body: Mapping[str, Any], *, ran: bool) -> RunState | None:
    """The state that the cluster's word for it means; a word that nobody knows is no end. None without one."""
    word = body.get("status")
    if not isinstance(word, str):
        return None
    return STATES.get(word.lower(), "running" if ran else "initializing")


def _run_of(watched: Watched, body: Mapping[str, Any], state: RunState, now: datetime) -> RunStatus:
    attempt = watched.attempt
    started_at, finished_at = _times(watched, body, state, now)
    saved_step = _number(body.get("last_checkpoint_step"))
    return RunStatus(
        external_job_id=attempt.external_job_id or "",
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        status=state,
        stage=_stage(body),
        progress=min(_count(body.get("progress")), 100.0),
        current_epoch=_count(body.get("current_epoch")),
        total_epochs=_count(body.get("total_epochs")),
        current_step=int(_count(body.get("current_step"))),
        total_steps=int(_count(body.get("total_steps"))),
        trained_tokens=int(_count(body.get("trained_tokens"))),
        eta_seconds=_number(body.get("eta_seconds")),
        metrics=_point(body),
        error=_error(body.get("error")),
        error_message=_text(body.get("error_message")),
        started_at=started_at,
        finished_at=finished_at,
        last_checkpoint_step=None if saved_step is None else int(saved_step),
        checkpoint_seconds=_number(body.get("checkpoint_seconds")),
        stopped_early=body.get("stopped_early") is True,
    )


def _times(
    watched: Watched, body: Mapping[str, Any], state: RunState, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """When the run started and finished: both as the cluster says, or else both by our clock."""
    if state in ("queued", "initializing"):
        return watched.started_at, None
    told_start, told_end = _moment(body.get("started_at")), _moment(body.get("finished_at"))
    if not JobStatus(state).terminal:
        return watched.started_at or now, None
    if told_start and told_end and told_start <= told_end:
        return told_start, told_end
    return watched.started_at or now, now


def _point(body: Mapping[str, Any]) -> MetricPoint | None:
    """What the run measured last, if anything."""
    told = body.get("metrics") or body.get("current_metrics")
    if not isinstance(told, Mapping):
        return None
    measured = {
        field: _number(told.get(name)) for name, field in METRICS.items() if _number(told.get(name)) is not None
    }
    if not measured:
        return None
    step, epoch = (told.get(name, body.get(f"current_{name}")) for name in ("step", "epoch"))
    return MetricPoint(step=int(_count(step)), epoch=_count(epoch), **measured)


def _stage(body: Mapping[str, Any]) -> str:
    return _text(body.get("stage")) or _text(body.get("current_stage")) or _text(body.get("status")) or "unknown"


def _error(told: Any) -> JobError | None:
    if isinstance(told, str) and told:
        return JobError(code="run_failed", message=told)
    try:
        return JobError.model_validate(told)
    except ValidationError:
        return None


def _text(told: Any) -> str | None:
    return told if isinstance(told, str) and told else None


def _number(told: Any) -> float | None:
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told):
        return None
    return float(told)


def _count(told: Any) -> float:
    return max(_number(told) or 0.0, 0.0)


def _moment(told: Any) -> datetime | None:
    try:
        return MOMENT.validate_python(told)
    except (ValidationError, OverflowError):
        return None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
