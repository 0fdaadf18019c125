"""How often a run is polled, and what a response means.

Clusters that speak only the original's API have no history: each response that differs from the one before becomes an
event, numbered here and timed by our clock.
"""

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import uuid5

from pydantic import TypeAdapter, ValidationError

from brightrun.cluster_client.responses import Missing, Reported, StatusResponse, Unanswered
from brightrun.contracts.cluster_api import RunEvent, RunState, RunStatus
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError, MetricPoint
from brightrun.contracts.values import Utc
from brightrun.scheduler.lifecycle.rules import GONE, SILENT
from brightrun.scheduler.observation.models import ObservedRun, PollResult, PollState

MIN_SECONDS = 2.0
MAX_SECONDS = 60.0
STOPPING_SECONDS = 1.0
MAX_PER_SECOND = 20
"""Requests to one cluster, however many runs it has."""

MAX_DOUBLINGS = 10
MAX_MISSING = 3
"""A run that the cluster does not know so often in a row is gone: just after its submission it may not be known yet."""

STATUSES: Mapping[str, RunState] = {status: status for status in get_args(RunState)} | {"canceled": "cancelled"}
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

TIME: TypeAdapter[datetime] = TypeAdapter(Utc)


def pause(state: PollState, live: int, *, stopping: bool) -> timedelta:
    """How long until the run is polled again: short after a change, ever longer while there is none.

    `stopping`: it was told to end. `live`: how many runs are polled.
    """
    if stopping or state.missing:
        return timedelta(seconds=STOPPING_SECONDS)
    backoff = min(MIN_SECONDS * 2 ** min(state.quiet, MAX_DOUBLINGS), MAX_SECONDS)
    return timedelta(seconds=max(backoff, live / MAX_PER_SECOND))


def read_response(
    run: ObservedRun, before: PollState, response: StatusResponse, now: datetime, max_silence: timedelta
) -> PollResult:
    """What the response adds; a run is lost when it is unknown, or when responses are unusable for `max_silence`."""
    match response:
        case Reported(body) if (status := _status_of(body, ran=before.ran)) is not None:
            return _reported(run, before, body, status, now)
        case Missing():
            missing = before.missing + 1
            after = before.model_copy(update={"missing": missing})
            return PollResult(after, lost=GONE if missing >= MAX_MISSING else None)
        case Reported() | Unanswered():
            since = before.failing_since or now
            after = before.model_copy(update={"failing_since": since, "quiet": before.quiet + 1})
            return PollResult(after, lost=SILENT if now - since >= max_silence else None)


def _reported(
    observed: ObservedRun, before: PollState, body: Mapping[str, Any], status: RunState, now: datetime
) -> PollResult:
    run = _run_of(observed, body, status, now)
    seen = _digest(run.model_dump_json(exclude={"started_at", "finished_at"}))
    known = before.model_copy(
        update={"missing": 0, "failing_since": None, "ran": before.ran or status not in ("queued", "initializing")}
    )
    if seen == before.seen:
        return PollResult(known.model_copy(update={"quiet": before.quiet + 1}))
    point = _digest(run.metrics.model_dump_json()) if run.metrics else before.point
    seq = before.seq + 1
    event = RunEvent(
        cursor=0,
        event_id=uuid5(run.job_id, f"{run.attempt}/{seq}"),
        at=now,
        seq=seq,
        run=run,
        points=(run.metrics,) if run.metrics and point != before.point else (),
    )
    return PollResult(known.model_copy(update={"quiet": 0, "seen": seen, "seq": seq, "point": point}), event)


def _status_of(body: Mapping[str, Any], *, ran: bool) -> RunState | None:
    """The cluster's status as ours; an unknown one is not an end. None without one."""
    status = body.get("status")
    if not isinstance(status, str):
        return None
    return STATUSES.get(status.lower(), "running" if ran else "initializing")


def _run_of(observed: ObservedRun, body: Mapping[str, Any], status: RunState, now: datetime) -> RunStatus:
    attempt = observed.attempt
    started_at, finished_at = _times(observed, body, status, now)
    saved_step = _number(body.get("last_checkpoint_step"))
    return RunStatus(
        external_job_id=attempt.external_job_id or "",
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        status=status,
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
    observed: ObservedRun, body: Mapping[str, Any], status: RunState, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """When the run started and finished: both as the cluster reports, or else both by our clock."""
    if status in ("queued", "initializing"):
        return observed.started_at, None
    if not JobStatus(status).terminal:
        return observed.started_at or now, None
    start, end = _time(body.get("started_at")), _time(body.get("finished_at"))
    if start and end and start <= end:
        return start, end
    return observed.started_at or now, now


def _point(body: Mapping[str, Any]) -> MetricPoint | None:
    """The run's last metrics, if any."""
    metrics = body.get("metrics") or body.get("current_metrics")
    if not isinstance(metrics, Mapping):
        return None
    values = {field: number for name, field in METRICS.items() if (number := _number(metrics.get(name))) is not None}
    if not values:
        return None
    step, epoch = (metrics.get(name, body.get(f"current_{name}")) for name in ("step", "epoch"))
    return MetricPoint(step=int(_count(step)), epoch=_count(epoch), **values)


def _stage(body: Mapping[str, Any]) -> str:
    return _text(body.get("stage")) or _text(body.get("current_stage")) or _text(body.get("status")) or "unknown"


def _error(value: Any) -> JobError | None:
    if isinstance(value, str) and value:
        return JobError(code="run_failed", message=value)
    try:
        return JobError.model_validate(value)
    except ValidationError:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _count(value: Any) -> float:
    return max(_number(value) or 0.0, 0.0)


def _time(value: Any) -> datetime | None:
    try:
        return TIME.validate_python(value)
    except (ValidationError, OverflowError):
        return None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
