"""Turns what a trainer has printed into reports."""

import asyncio
from collections.abc import Sequence

import structlog
from pydantic import ValidationError

from brightrun.cluster import rules
from brightrun.cluster.models import Run
from brightrun.cluster.run_folder import RunFolder
from brightrun.contracts.cluster_api import ClusterFile
from brightrun.contracts.reports import REPORT, FailedReport, FinishedReport, PointsReport, Report
from brightrun.contracts.training import JobError

log = structlog.get_logger()

POINTS_AN_EVENT = 500


def parse(lines: Sequence[bytes]) -> list[Report]:
    """The reports among the lines; a library may have printed others."""
    return [report for line in lines if (report := _parse(line))]


def merge(reports: Sequence[Report]) -> list[Report]:
    """The same with neighbouring batches of points as one, so that a service that is behind catches up."""
    merged: list[Report] = []
    for report in reports:
        last = merged[-1] if merged else None
        if (
            isinstance(report, PointsReport)
            and isinstance(last, PointsReport)
            and len(last.points) + len(report.points) <= POINTS_AN_EVENT
        ):
            merged[-1] = report.model_copy(update={"points": last.points + report.points})
        else:
            merged.append(report)
    return merged


async def collect(run: Run, folder: RunFolder, reports: list[Report]) -> tuple[list[Report], tuple[ClusterFile, ...]]:
    """The files that the reports say are finished; where one is not there, the run has failed instead."""
    for position, report in enumerate(reports):
        if isinstance(report, FinishedReport) and rules.delivers(run, report):
            try:
                return reports, await asyncio.to_thread(folder.measure, report.files)
            except OSError as error:
                message = f"The trainer left an incomplete adapter ({error.strerror or error})."
                failed = FailedReport(error=JobError(code="artifact_incomplete", message=message, retryable=True))
                return [*reports[:position], failed], ()
    return reports, ()


def _parse(line: bytes) -> Report | None:
    try:
        return REPORT.validate_json(line)
    except ValidationError:
        log.warning("report.unreadable", line=line[:200].decode(errors="replace"))
        return None
