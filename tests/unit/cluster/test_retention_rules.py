"""Which parts of finished runs are deleted, and in which order."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster.retention import rules
from brightrun.cluster.retention.models import Deletion, FinishedRun

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEEP = timedelta(days=30)


def finished_run(run_id: str = "run_1", days: float = 40, **changes: Any) -> FinishedRun:
    ended = NOW - timedelta(days=days)
    values = {"status": "completed", "finished_at": ended, "not_downloaded": 0, "downloaded_at": ended}
    return FinishedRun(run_id=run_id, **values | changes)


def expired(*runs: FinishedRun, needed: tuple[str, ...] = ()) -> list[str]:
    return [deletion.run_id for deletion in rules.expired(runs, needed, NOW, KEEP)]


def test_a_run_is_deleted_after_its_period() -> None:
    assert expired(finished_run("old"), finished_run("young", days=29)) == ["old"]


def test_files_that_nobody_downloaded_are_kept() -> None:
    assert expired(finished_run(days=4000, not_downloaded=1, downloaded_at=None)) == []


def test_a_run_whose_files_were_just_downloaded_is_kept() -> None:
    assert expired(finished_run(downloaded_at=NOW - timedelta(days=1))) == []


def test_a_run_that_another_starts_from_is_kept() -> None:
    assert expired(finished_run("source", status="cancelled", downloaded_at=None), needed=("source",)) == []


def test_checkpoints_of_runs_that_did_not_complete_are_kept_as_promised_however_full_the_disk() -> None:
    runs = [
        finished_run("failed", 3, status="failed", downloaded_at=None),
        finished_run("cancelled", 3, status="cancelled", downloaded_at=None),
        finished_run("completed", 3),
        finished_run("old", 8, status="cancelled", downloaded_at=None),
    ]
    promised = rules.with_promised_checkpoints(runs, NOW, timedelta(days=7))
    assert promised == {"failed", "cancelled"}
    deletions = [*rules.expired(runs, promised, NOW, timedelta()), *rules.early_deletions(runs, promised, NOW)]
    assert {deletion.run_id for deletion in deletions if deletion.part != "dataset"} == {"completed", "old"}


def test_the_cheapest_parts_are_deleted_first() -> None:
    runs = [
        finished_run("failed", 3, status="failed", downloaded_at=None),
        finished_run("completed", 2),
        finished_run("kept", 1, not_downloaded=2),
    ]
    deletions = list(rules.early_deletions(runs, (), NOW))
    assert deletions == [
        *(Deletion(run, "dataset") for run in ("failed", "completed", "kept")),
        *(Deletion(run, "checkpoints") for run in ("completed", "kept", "failed")),
        *(Deletion(run, "run") for run in ("failed", "completed")),
    ]


def test_a_run_that_has_just_ended_is_not_deleted_as_a_whole() -> None:
    just = finished_run(days=0, downloaded_at=None, status="cancelled")
    assert Deletion(just.run_id, "run") not in list(rules.early_deletions([just], (), NOW))


@given(
    st.lists(
        st.builds(
            finished_run,
            run_id=st.text("abc", min_size=3, max_size=3),
            days=st.floats(0, 100),
            status=st.sampled_from(["completed", "failed", "cancelled"]),
            not_downloaded=st.integers(0, 2),
        )
    ),
    st.sets(st.text("abc", min_size=3, max_size=3)),
)
def test_neither_files_to_download_nor_needed_checkpoints_are_ever_deleted(
    runs: list[FinishedRun], needed: set[str]
) -> None:
    deletions = [*rules.expired(runs, needed, NOW, KEEP), *rules.early_deletions(runs, needed, NOW)]
    to_download = {run.run_id for run in runs} - {run.run_id for run in runs if not run.not_downloaded}
    assert not {deletion.run_id for deletion in deletions if deletion.part == "run"} & to_download
    assert not {deletion.run_id for deletion in deletions if deletion.part != "dataset"} & needed
