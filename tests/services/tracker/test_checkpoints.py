"""Checkpoints: stored once, told with what had been measured by then."""

from datetime import timedelta

import pytest

from brightrun.contracts.events import JobProgress
from brightrun.contracts.training import Checkpoint, MetricPoint
from brightrun.contracts.values import new_id
from tests.builders import NOON, job_progress
from tests.services.tracker.conftest import deliver


def measured(first: int, last: int, **values: float) -> tuple[MetricPoint, ...]:
    return tuple(
        MetricPoint(step=step, epoch=0, training_loss=10 - step, token_accuracy=step / 10, **values)
        for step in range(first, last + 1)
    )


def saved(*steps: int) -> tuple[Checkpoint, ...]:
    return tuple(Checkpoint(step=step, saved_at=NOON + timedelta(seconds=step)) for step in steps)


async def checkpoints_of(ask, event: JobProgress, **params: int | str) -> list[dict[str, object]]:
    answer = await ask(event.user_id).get(f"/jobs/{event.job_id}/checkpoints", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["checkpoints"]


async def test_checkpoints_are_listed_newest_first_with_the_values_of_the_curve(pool, ask) -> None:
    first = job_progress(seq=1, points=measured(1, 3, validation_loss=2.5, validation_token_accuracy=0.25))
    whose = {"job_id": first.job_id, "user_id": first.user_id}
    await deliver(
        pool,
        first,
        job_progress(seq=2, points=(), checkpoints=saved(3), **whose),
        job_progress(seq=3, points=measured(4, 8), **whose),
        job_progress(seq=4, points=(), checkpoints=saved(6), **whose),
    )
    newest, oldest = await checkpoints_of(ask, first)
    assert newest == {
        "id": "1-6",
        "attempt": 1,
        "step": 6,
        "saved_at": "2026-11-24T12:00:06Z",
        "training_loss": 4,
        "token_accuracy": 0.6,
        "validation_loss": 2.5,
        "validation_token_accuracy": 0.25,
    }
    assert (oldest["step"], oldest["training_loss"], oldest["validation_loss"]) == (3, 7, 2.5)


async def test_a_resumed_attempts_checkpoints_come_before_those_it_was_resumed_from(pool, ask) -> None:
    first = job_progress(seq=9, points=measured(1, 8), checkpoints=saved(4, 8))
    whose = {"job_id": first.job_id, "user_id": first.user_id, "attempt": 2}
    resumed = tuple(MetricPoint(step=step, epoch=0, training_loss=0.5) for step in (5, 6))
    await deliver(pool, first, job_progress(seq=1, points=resumed, checkpoints=saved(6), **whose))
    found = [
        (checkpoint["attempt"], checkpoint["step"], checkpoint["training_loss"])
        for checkpoint in await checkpoints_of(ask, first)
    ]
    assert found == [(2, 6, 0.5), (1, 8, 2), (1, 4, 6)]


async def test_a_checkpoint_is_stored_once(pool, ask) -> None:
    event = job_progress(checkpoints=saved(1, 1))
    again = event.model_copy(update={"event_id": new_id(), "seq": 2, "points": (), "checkpoints": saved(1)})
    await deliver(pool, event, event, again)
    assert [checkpoint["id"] for checkpoint in await checkpoints_of(ask, event)] == ["1-1"]


async def test_a_checkpoint_before_any_measurement_has_no_values(pool, ask) -> None:
    event = job_progress(points=(), checkpoints=saved(1))
    await deliver(pool, event)
    [checkpoint] = await checkpoints_of(ask, event)
    assert (
        checkpoint["training_loss"],
        checkpoint["token_accuracy"],
        checkpoint["validation_loss"],
    ) == (None, None, None)


async def test_checkpoints_are_paged_by_the_last_id_seen(pool, ask) -> None:
    event = job_progress(points=measured(1, 9), checkpoints=saved(*range(1, 10)))
    await deliver(pool, event)
    page = await checkpoints_of(ask, event, limit=4)
    rest = await checkpoints_of(ask, event, after=page[-1]["id"])
    assert [checkpoint["step"] for checkpoint in page + rest] == list(range(9, 0, -1))


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"after": "1"}, {"after": "1-x"}, {"after": "-1-1"}])
async def test_query_parameters_are_bounded(ask, params: dict[str, int | str]) -> None:
    answer = await ask(new_id()).get(f"/jobs/{new_id()}/checkpoints", params=params)
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == list(params)
