"""Until when a checkpoint can be had."""

from datetime import UTC, datetime, timedelta

from brightrun.api.checkpoints.models import Availability, Copy
from brightrun.api.checkpoints.rules import availability
from brightrun.contracts.values import new_id

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def copy(*, stored: bool = True) -> Copy:
    return Copy(attempt=1, step=40, model_id=new_id(), stored=stored, expires_at=NOON)


def test_without_a_copy_a_checkpoint_is_available_as_long_as_its_cluster_keeps_it() -> None:
    assert availability(40, {40: NOON}, None) == Availability(True, NOON)
    assert availability(40, {40: None}, None) == Availability(True, None)
    assert availability(40, {80: NOON}, None) == Availability(False)
    assert availability(40, None, None) == Availability(None)
    assert availability(40, {}, copy(stored=False)) == Availability(False)


def test_a_copy_is_available_whatever_its_cluster_does() -> None:
    kept = copy()
    for on_cluster in (None, {}, {40: None}, {40: NOON - DAY}):
        assert availability(40, on_cluster, kept) == Availability(True, NOON, kept.model_id)
    assert availability(40, {40: NOON + DAY}, kept) == Availability(True, NOON + DAY, kept.model_id)
