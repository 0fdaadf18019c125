"""Runs that are to be stopped."""

from dataclasses import dataclass
from datetime import datetime

from brightrun.contracts.cluster_api import StopSignal
from brightrun.scheduler.models import Attempt


@dataclass(frozen=True, slots=True)
class StoppingRun:
    """A live run that is to end.

    `job_over`: its job is. `finishing`: its user wants what it has. `decided_at`: since when a limit ends it. `sent`:
    the last signal, and `acknowledged`: the last that the cluster acknowledged.
    """

    attempt: Attempt
    job_over: bool
    cancelled: bool
    paused: bool
    finishing: bool
    decided_at: datetime | None
    sent: StopSignal | None
    sent_at: datetime | None
    acknowledged: StopSignal | None
