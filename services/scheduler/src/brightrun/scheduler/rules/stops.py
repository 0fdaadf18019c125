"""How a live run is told to end."""

from datetime import datetime, timedelta

from brightrun.contracts.cluster_api import Capabilities, StopSignal
from brightrun.scheduler.models import Stopping

REPEAT = timedelta(seconds=5)
"""An order is given again while the cluster has not reported the end; it is idempotent."""

CANCEL_PATIENCE = timedelta(seconds=4)
"""A cluster that has not acknowledged a cancellation by then is not waited for: users see it within 5 seconds."""

FINISH_PATIENCE = timedelta(minutes=10)
"""A run that does not finish within it, evaluations included, is cancelled."""


def can_pause(capabilities: Capabilities) -> bool:
    """Whether the cluster saves a run that it ends, and goes on from there with another."""
    return capabilities.resume and ("checkpoint" in capabilities.stop_modes or capabilities.graceful_stop)


def order_of(run: Stopping, capabilities: Capabilities, now: datetime) -> StopSignal | None:
    """What the run is to be told; None when it cannot be told what its user wants.

    A cancellation comes before a limit, and a limit before a pause: a run that finishes is not worth keeping.
    """
    if run.over or run.cancelled:
        return "cancel"
    if run.decided_at is not None:
        patient = now - run.decided_at < FINISH_PATIENCE
        return "finish" if "finish" in capabilities.stop_modes and patient else "cancel"
    if run.paused and can_pause(capabilities):
        return "checkpoint" if "checkpoint" in capabilities.stop_modes else "cancel"
    return None


def due(run: Stopping, order: StopSignal, now: datetime) -> bool:
    """Whether it is time to give the order, for the first time or again."""
    return run.sent != order or run.sent_at is None or now - run.sent_at >= REPEAT
