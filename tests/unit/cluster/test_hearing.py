"""What a trainer has printed, as reports."""

from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster import hearing
from brightrun.contracts.reports import PointsReport, Report, StageReport
from brightrun.contracts.training import MetricPoint


def points(*steps: int) -> PointsReport:
    return PointsReport(points=tuple(MetricPoint(step=step, epoch=0) for step in steps), trained_tokens=steps[-1] * 10)


def steps_of(reports: list[Report]) -> list[int]:
    return [point.step for report in reports if isinstance(report, PointsReport) for point in report.points]


def test_what_is_no_report_is_passed_over() -> None:
    lines = [b"Loading\xff", b'{"kind": "unheard of"}', b'{"kind": "stage", "stage": "training"}', b"{}"]
    assert hearing.parse(lines) == [StageReport(stage="training")]


def test_points_that_waited_together_are_told_together_and_nothing_overtakes() -> None:
    stage = StageReport(stage="evaluating")
    assert hearing.merge([points(1), points(2, 3), stage, points(4)]) == [points(1, 2, 3), stage, points(4)]


@given(st.lists(st.one_of(st.just(None), st.integers(1, 300)), max_size=20))
def test_no_point_is_lost_and_no_event_grows_without_bound(sizes: list[int | None]) -> None:
    reports: list[Report] = []
    for size in sizes:
        first = (steps_of(reports) or [0])[-1] + 1
        reports.append(StageReport(stage="training") if size is None else points(*range(first, first + size)))
    merged = hearing.merge(reports)
    assert steps_of(merged) == steps_of(reports)
    assert sum(isinstance(one, StageReport) for one in merged) == sizes.count(None)
    assert all(len(one.points) <= hearing.POINTS_AN_EVENT for one in merged if isinstance(one, PointsReport))
