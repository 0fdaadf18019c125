"""Turns a trainer's output into reports."""

from collections.abc import Sequence

import structlog
from pydantic import ValidationError

from brightrun.cluster.files.run_folder import RunFolder
from brightrun.contracts.reports import REPORT, PointsReport, Report

log = structlog.get_logger()

MAX_POINTS_PER_EVENT = 500


def read_reports(folder: RunFolder, offset: int) -> tuple[list[Report], int]:
    lines, offset = folder.read_output(offset)
    return parse(lines), offset


def parse(lines: Sequence[bytes]) -> list[Report]:
    """The reports among the lines; a library may have printed others."""
    return [report for line in lines if (report := _parse(line))]


def merge(reports: Sequence[Report]) -> list[Report]:
    """The same with adjacent batches of points as one, so that a service that is behind catches up."""
    merged: list[Report] = []
    for report in reports:
        last = merged[-1] if merged else None
        if (
            isinstance(report, PointsReport)
            and isinstance(last, PointsReport)
            and len(last.points) + len(report.points) <= MAX_POINTS_PER_EVENT
        ):
            merged[-1] = report.model_copy(update={"points": last.points + report.points})
        else:
            merged.append(report)
    return merged


def _parse(line: bytes) -> Report | None:
    try:
        return REPORT.validate_json(line)
    except ValidationError:
        log.warning("report.unreadable", line=line[:200].decode(errors="replace"))
        return None
