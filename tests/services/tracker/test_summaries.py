"""Long curves are drawn from summaries, and nobody sees a difference."""

import asyncio
from random import Random

import pytest

from brightrun.contracts.events import JobProgress
from brightrun.contracts.training import MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool, transaction
from brightrun.tracker import actions, loops
from brightrun.tracker.rules.summaries import SummaryPolicy
from tests.builders import job_deleted, job_progress
from tests.services.tracker.conftest import deliver
from tests.waiting import eventually

SMALL = SummaryPolicy(check_each=4, points=40, kept=12)
"""Summaries of few points, so that a short curve has many."""


async def record(pool: Pool, *events: JobProgress) -> None:
    for event in events:
        async with transaction(pool) as conn:
            await actions.record_progress(conn, [event], SMALL)


class Training:
    """A run that reports a few steps at a time, and may go back to a checkpoint, within an attempt or in a new one."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311
        self.whose = {"job_id": new_id(), "user_id": new_id()}
        self.attempt, self.seq, self.step = 1, 0, 0
        self.events: list[JobProgress] = []

    def go(self, steps: int) -> None:
        end = self.step + steps
        while self.step < end:
            count = min(self._random.randint(1, 9), end - self.step)
            self._report(tuple(self._measure() for _ in range(count)))

    def resume(self, back: int, new_attempt: bool) -> None:
        self.step = max(0, self.step - back)
        if new_attempt:
            self.attempt, self.seq = self.attempt + 1, 0

    def _measure(self) -> MetricPoint:
        self.step += 1
        validation = self._random.uniform(2, 3) if self.step % 25 == 0 else None
        return MetricPoint(
            step=self.step, epoch=0, training_loss=self._random.uniform(1, 2), validation_loss=validation
        )

    def _report(self, points: tuple[MetricPoint, ...]) -> None:
        self.seq += self._random.randint(1, 3)  # events without points are between
        self.events.append(job_progress(attempt=self.attempt, seq=self.seq, points=points, **self.whose))

    def curve(self) -> dict[int, MetricPoint]:
        """Each step's last reading, of its newest attempt."""
        inorder = sorted(self.events, key=lambda event: (event.attempt, event.seq))
        return {point.step: point for event in inorder for point in event.points}


async def draw(ask, training: Training, **params: int) -> list[dict[str, float]]:
    url = f"/jobs/{training.whose['job_id']}/metrics"
    answer = await ask(training.whose["user_id"]).get(url, params={"max_points": 100} | params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["points"]


async def summarize(pool: Pool) -> int:
    while await loops.summarize(pool, SMALL):
        pass
    return await pool.fetchval("SELECT count(*) FROM metric_summaries")


def check(drawn: list[dict[str, float]], training: Training, first: int = 0, last: int = 10**9) -> None:
    """What is drawn are readings that count, the extremes and all validations among them."""
    curve = {step: point for step, point in training.curve().items() if first <= step <= last}
    assert [point["step"] for point in drawn] == sorted({point["step"] for point in drawn})
    for point in drawn:
        meant = curve[point["step"]]
        assert (point["training_loss"], point["validation_loss"]) == (meant.training_loss, meant.validation_loss)
    losses = [point.training_loss for point in curve.values()]
    assert {min(losses), max(losses)} <= {point["training_loss"] for point in drawn}
    validated = {step for step, point in curve.items() if point.validation_loss is not None}
    assert validated <= {point["step"] for point in drawn if point["validation_loss"] is not None}


@pytest.mark.parametrize("seed", range(6))
async def test_a_summarized_curve_keeps_its_extremes_and_only_readings_that_count(pool, ask, seed: int) -> None:
    random = Random(seed)  # noqa: S311
    training = Training(seed)
    for _ in range(3):
        training.go(random.randint(200, 500))
        training.resume(random.randint(1, 150), new_attempt=random.random() < 0.5)
        training.go(random.randint(1, 100))
    await record(pool, *training.events)
    assert await summarize(pool) > 5
    window = {"from": 301, "to": 700}
    check(drawn := await draw(ask, training), training)
    assert 70 <= len(drawn) <= 100
    check(await draw(ask, training, **window), training, 301, 700)
    everything = await draw(ask, training, max_points=10_000)
    assert [point["step"] for point in everything] == sorted(training.curve())


async def test_a_long_curve_is_read_from_summaries_alone(pool, ask) -> None:
    training = Training(1)
    training.go(2000)
    await record(pool, *training.events)
    await summarize(pool)
    summarized = await pool.fetchval("SELECT max(last_seq) FROM metric_summaries")
    await pool.execute("UPDATE metric_chunks SET training_loss = NULL WHERE seq <= $1", summarized)
    check(await draw(ask, training, max_points=200), training)


@pytest.mark.parametrize("summarized_before", [False, True])
async def test_a_chunk_that_comes_late_is_drawn(pool, ask, summarized_before: bool) -> None:
    training = Training(2)
    training.go(1000)
    late = training.events[20]
    await record(pool, *(event for event in training.events if event is not late))
    if summarized_before:
        await summarize(pool)
    await record(pool, late)
    await record(pool, late.model_copy(update={"event_id": new_id()}))
    check(await draw(ask, training, max_points=1000), training)
    await summarize(pool)
    check(await draw(ask, training), training)
    assert await pool.fetchval("SELECT count(*) FROM summaries_due") == 0
    covered = await pool.fetchval(
        "SELECT count(*) FROM metric_summaries WHERE $1 BETWEEN seq AND last_seq", late.seq
    )  # fmt: skip
    assert covered == 1


async def test_a_writer_waits_for_a_summary_that_its_chunk_belongs_into(pool, ask) -> None:
    training = Training(3)
    training.go(400)
    late = training.events[5]
    await record(pool, *(event for event in training.events if event is not late))

    async def waits_for_a_lock() -> bool:
        return await pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")

    async with transaction(pool) as conn:
        assert await actions.summarize(conn, SMALL)
        writer = asyncio.create_task(record(pool, late))
        await eventually(waits_for_a_lock)
    await writer
    check(await draw(ask, training, max_points=1000), training)
    assert await pool.fetchval("SELECT count(*) FROM summaries_due") == 1


async def test_a_curve_without_losses_is_summarized_as_nothing(pool, ask) -> None:
    training = Training(4)
    training.go(200)
    events = [
        event.model_copy(update={"points": tuple(MetricPoint(step=point.step, epoch=0) for point in event.points)})
        for event in training.events
    ]
    await record(pool, *events)
    assert await summarize(pool) > 0
    assert len(await draw(ask, training, max_points=1000)) == 200


async def test_a_deleted_job_is_not_summarized(pool) -> None:
    training = Training(5)
    training.go(200)
    await record(pool, *training.events)
    await deliver(pool, job_deleted(**training.whose))
    assert await summarize(pool) == 0
