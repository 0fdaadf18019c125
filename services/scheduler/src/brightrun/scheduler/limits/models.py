"""Limits of attempts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from brightrun.contracts.events import JobQueued

Limit = Literal["budget", "duration"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many seconds an attempt may train, and the limit that ends it then."""

    seconds: float
    limit: Limit


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A run that is about to exceed a limit of its job."""

    job: JobQueued
    limit: Limit
    started_at: datetime
