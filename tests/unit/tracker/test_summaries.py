"""Where a summary may stand for its chunks, and which events have none."""

from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.values import new_id
from brightrun.tracker.models import Chunk, Gap, Span
from brightrun.tracker.rules.summaries import FIRST, LAST, gaps, split_spans

JOB = new_id()


def span(first: int, last: int, *, attempt: int = 1, seq: int = 1, last_seq: int = 1, kept: int = 10) -> Span:
    return Span(attempt, seq, last_seq, first, last, kept)


def chunk(first: int, last: int) -> Chunk:
    return Chunk(JOB, 1, 1, first, last, ())


RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda at: (at[0], at[0] + at[1])), max_size=12)


@given(spans=RANGES, chunks=RANGES)
def test_a_summary_will_do_just_where_nothing_else_tells_of_its_steps(
    spans: list[tuple[int, int]], chunks: list[tuple[int, int]]
) -> None:
    all_spans = [span(*steps, seq=place) for place, steps in enumerate(spans)]
    enough, lacking = split_spans(all_spans, [chunk(*steps) for steps in chunks], 5, 55, 1)
    near = [summarized for summarized in all_spans if summarized.last_step >= 5 and summarized.first_step <= 55]
    assert sorted([*enough, *lacking], key=lambda summarized: summarized.seq) == near
    for summarized in near:
        others = [steps for place, steps in enumerate(spans) if place != summarized.seq] + chunks
        alone = not any(first <= summarized.last_step and last >= summarized.first_step for first, last in others)
        assert (summarized in enough) == (alone and summarized.first_step >= 5 and summarized.last_step <= 55)


def test_summaries_that_hold_too_few_points_between_them_are_not_used() -> None:
    spans = [span(0, 9), span(10, 19, seq=2), span(20, 29, seq=3)]
    assert split_spans(spans, [], 0, 29, 30) == (spans, [])
    assert split_spans(spans, [], 0, 29, 31) == ([], spans)


def test_events_without_a_summary_lie_before_between_and_after_those_with_one() -> None:
    spans = [
        span(0, 9, seq=1, last_seq=8),
        span(10, 19, seq=9, last_seq=12),
        span(30, 39, seq=20, last_seq=25),
        span(5, 9, attempt=2, seq=1, last_seq=4),
    ]
    assert gaps(spans) == [
        Gap(FIRST, (1, 1)),
        Gap((1, 12), (1, 20)),
        Gap((1, 25), (2, 1)),
        Gap((2, 4), LAST),
    ]
    assert gaps(spans[:2], (1, 0), (2, 0)) == [Gap((1, 12), (2, 0))]
    assert gaps([]) == [Gap(FIRST, LAST)]
