"""Finished runs, and what is deleted of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from brightrun.contracts.cluster_api import RunState

Part = Literal["dataset", "checkpoints", "run"]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run whose folder still exists; `not_downloaded` of its files were never downloaded."""

    run_id: str
    status: RunState
    finished_at: datetime
    not_downloaded: int
    downloaded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A part of a run's folder: its data set, its checkpoints, or all of it."""

    run_id: str
    part: Part
