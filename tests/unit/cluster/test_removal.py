"""Which parts of finished runs go, and in which order."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster import removal
from brightrun.cluster.models import Leftover
from brightrun.cluster.removal import Removal

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEEP = timedelta(days=30)


def leftover(run_id: str = "run_1", days: float = 40, **changes: Any) -> Leftover:
    ended = NOW - timedelta(days=days)
    values = {"status": "completed", "finished_at": ended, "unfetched": 0, "fetched_at": ended}
    return Leftover(run_id=run_id, **values | changes)


def due(*leftovers: Leftover, needed: tuple[str, ...] = ()) -> list[str]:
    return [what.run_id for what in removal.due(leftovers, needed, NOW, KEEP)]


def test_a_run_goes_when_its_time_is_over() -> None:
    assert due(leftover("old"), leftover("young", days=29)) == ["old"]


def test_files_that_nobody_fetched_stay_for_ever() -> None:
    assert due(leftover(days=4000, unfetched=1, fetched_at=None)) == []


def test_a_run_whose_files_were_just_fetched_stays() -> None:
    assert due(leftover(fetched_at=NOW - timedelta(days=1))) == []


def test_a_run_that_another_goes_on_from_stays() -> None:
    assert due(leftover("source", status="cancelled", fetched_at=None), needed=("source",)) == []


def test_room_is_made_from_what_is_cheapest_to_miss() -> None:
    runs = [
        leftover("failed", 3, status="failed", fetched_at=None),
        leftover("completed", 2),
        leftover("kept", 1, unfetched=2),
    ]
    order = list(removal.spare(runs, (), NOW))
    assert order == [
        *(Removal(run, "dataset") for run in ("failed", "completed", "kept")),
        *(Removal(run, "checkpoints") for run in ("completed", "kept", "failed")),
        *(Removal(run, "run") for run in ("failed", "completed")),
    ]


def test_what_has_just_ended_is_not_removed_as_a_whole() -> None:
    just = leftover(days=0, fetched_at=None, status="cancelled")
    assert Removal(just.run_id, "run") not in list(removal.spare([just], (), NOW))


@given(
    st.lists(
        st.builds(
            leftover,
            run_id=st.text("abc", min_size=3, max_size=3),
            days=st.floats(0, 100),
            status=st.sampled_from(["completed", "failed", "cancelled"]),
            unfetched=st.integers(0, 2),
        )
    ),
    st.sets(st.text("abc", min_size=3, max_size=3)),
)
def test_neither_unfetched_files_nor_needed_checkpoints_are_ever_removed(
    runs: list[Leftover], needed: set[str]
) -> None:
    removed = [*removal.due(runs, needed, NOW, KEEP), *removal.spare(runs, needed, NOW)]
    unfetched = {run.run_id for run in runs} - {run.run_id for run in runs if not run.unfetched}
    assert not {what.run_id for what in removed if what.part == "run"} & unfetched
    assert not {what.run_id for what in removed if what.part != "dataset"} & needed
