"""Which signal a live run gets, and when."""

from datetime import datetime, timedelta

from brightrun.contracts.cluster_api import Capabilities, StopSignal
from brightrun.contracts.training import JobError
from brightrun.scheduler.clusters.rules import can_pause
from brightrun.scheduler.stopping.models import StoppingRun

REPEAT = timedelta(seconds=5)
"""A signal is repeated while the cluster has not reported the end; it is idempotent."""

CANCEL_DEADLINE = timedelta(seconds=4)
"""A cluster that has not acknowledged a cancellation by then is not waited for: users see it within 5 seconds."""

FINISH_DEADLINE = timedelta(minutes=10)
"""A run that does not finish by then, evaluations included, is cancelled."""

UNACKNOWLEDGED = JobError(
    code="cancel_unheard", message="The cluster did not acknowledge the cancellation.", retryable=True
)


def signal_for(run: StoppingRun, capabilities: Capabilities, now: datetime) -> StopSignal | None:
    """The signal that the run gets; None when its cluster cannot do what its user requested.

    A cancellation comes before a limit or a request to finish, and these before a pause: a run that finishes is not
    worth keeping. A run that its user wants to finish is never cancelled for taking long.
    """
    if run.job_over or run.cancelled:
        return "cancel"
    if run.decided_at is not None:
        in_time = now - run.decided_at < FINISH_DEADLINE
        return "finish" if "finish" in capabilities.stop_modes and in_time else "cancel"
    if run.finishing and "finish" in capabilities.stop_modes:
        return "finish"
    if run.paused and can_pause(capabilities):
        return "checkpoint" if "checkpoint" in capabilities.stop_modes else "cancel"
    return None


def is_due(run: StoppingRun, signal: StopSignal, now: datetime) -> bool:
    """Whether it is time to send the signal, for the first time or again."""
    return run.sent != signal or run.sent_at is None or now - run.sent_at >= REPEAT
