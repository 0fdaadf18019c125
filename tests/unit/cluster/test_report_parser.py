"""A trainer's output, as reports."""

from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster.executors import report_parser
from brightrun.contracts.reports import PointsReport, Report, StageReport
from brightrun.contracts.training import MetricPoint


def points(*steps: int) -> PointsReport:
    return PointsReport(points=tuple(MetricPoint(step=step, epoch=0) for step in steps), trained_tokens=steps[-1] * 10)


def steps_of(reports: list[Report]) -> list[int]:
    return [point.step for report in reports if isinstance(report, PointsReport) for point in report.points]


def test_lines_that_are_no_reports_are_skipped() -> None:
    lines = [b"Loading\xff", b'{"kind": "unheard of"}', b'{"kind": "stage", "stage": "training"}', b"{}"]
    assert report_parser.parse(lines) == [StageReport(stage="training")]


def test_adjacent_points_are_merged_and_the_order_stays() -> None:
    stage = StageReport(stage="evaluating")
    assert report_parser.merge([points(1), points(2, 3), stage, points(4)]) == [points(1, 2, 3), stage, points(4)]


@given(st.lists(st.one_of(st.just(None), st.integers(1, 300)), max_size=20))
def test_no_point_is_lost_and_events_are_bounded(sizes: list[int | None]) -> None:
    reports: list[Report] = []
    for size in sizes:
        first = (steps_of(reports) or [0])[-1] + 1
        reports.append(StageReport(stage="training") if size is None else points(*range(first, first + size)))
    merged = report_parser.merge(reports)
    assert steps_of(merged) == steps_of(reports)
    assert sum(isinstance(report, StageReport) for report in merged) == sizes.count(None)
    assert all(
        len(report.points) <= report_parser.MAX_POINTS_PER_EVENT
        for report in merged
        if isinstance(report, PointsReport)
    )
