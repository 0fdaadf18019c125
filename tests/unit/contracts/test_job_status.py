"""The life of a job, for all sequences of reports."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.job_status import JobState, JobStatus, advance

STATES = st.builds(JobState, st.sampled_from(JobStatus), st.integers(0, 4), st.integers(0, 30))
LIVE = st.builds(
    JobState,
    st.sampled_from([status for status in JobStatus if not status.terminal]),
    st.integers(0, 4),
    st.integers(0, 30),
)


@given(STATES, st.lists(STATES, max_size=20))
def test_a_terminal_state_never_changes(first: JobState, reports: list[JobState]) -> None:
    current = first
    for report in reports:
        after = advance(current, report)
        if current.status.terminal:
            assert after == current
        current = after


@given(st.lists(LIVE, min_size=1, max_size=6))
def test_the_highest_order_wins_however_live_reports_are_shuffled(reports: list[JobState]) -> None:
    newest = max(report.order for report in reports)
    for order in list(permutations(reports))[:50]:
        current = JobState(JobStatus.QUEUED, attempt=-1)
        for report in order:
            current = advance(current, report)
        assert current.order == newest


@given(LIVE, STATES.filter(lambda state: state.status.terminal))
def test_an_end_wins_over_any_live_state(current: JobState, end: JobState) -> None:
    assert advance(current, end) == end


@given(STATES)
def test_the_same_report_twice_changes_nothing(state: JobState) -> None:
    assert advance(advance(JobState(JobStatus.QUEUED), state), state) == advance(JobState(JobStatus.QUEUED), state)
