"""Metric points: stored exactly, once, and drawn as asked."""

from datetime import datetime
from random import Random
from types import SimpleNamespace

from brightrun.contracts.events import JobProgress
from brightrun.contracts.training import MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.consumer import Consumer
from brightrun.runtime.kafka import KafkaClient
from brightrun.runtime.settings import KafkaSettings
from brightrun.tracker import subscribers
from tests.builders import job_progress
from tests.services.tracker.conftest import deliver

AWKWARD = [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1 / 3, None]
RENAMED = {"tokens_per_second": "throughput", "memory_mb": "gpu_memory_mb"}


def shown(point: MetricPoint) -> dict[str, float | None]:
    return {RENAMED.get(name, name): value for name, value in point.model_dump().items()}


def losses(first: int, *values: float) -> tuple[MetricPoint, ...]:
    return tuple(MetricPoint(step=step, epoch=1, training_loss=value) for step, value in enumerate(values, first))


async def points_of(ask, event: JobProgress, **params: int):
    answer = await ask(event.user_id).get(f"/jobs/{event.job_id}/metrics", params=params)
    assert answer.status_code == 200, answer.text
    points = answer.json()["data"]["points"]
    assert all(datetime.fromisoformat(point.pop("timestamp")).tzinfo for point in points)
    return points


async def test_points_come_back_exactly_as_they_were_measured(pool, ask) -> None:
    random = Random(11)  # noqa: S311
    optional = MetricPoint.model_fields.keys() - {"step", "epoch"}

    def measure(step: int) -> MetricPoint:
        values = {name: random.choice([*AWKWARD, random.random()]) for name in optional}
        return MetricPoint(step=step, epoch=step / 7, **values)

    points = [measure(step) for step in range(200)]
    event = job_progress(points=points[:50])
    whose = {"job_id": event.job_id, "user_id": event.user_id}
    later = [job_progress(seq=at, points=points[at : at + 50], **whose) for at in (50, 100, 150)]
    await deliver(pool, event, *later)
    assert await points_of(ask, event) == [shown(point) for point in points]


async def test_a_redelivered_progress_adds_no_points(pool, ask) -> None:
    event = job_progress(points=losses(1, 2.0, 1.9))
    await deliver(pool, event, event, event.model_copy(update={"event_id": new_id()}))
    assert [point["step"] for point in await points_of(ask, event)] == [1, 2]


async def test_progress_without_points_is_stored_as_none(pool, ask) -> None:
    event = job_progress(points=())
    await deliver(pool, event)
    assert await points_of(ask, event) == []


async def test_where_attempts_overlap_the_newest_is_drawn(pool, ask) -> None:
    first = job_progress(points=losses(1, 4.0, 3.0, 2.0))
    resumed = first.model_copy(update={"event_id": new_id(), "attempt": 2, "points": losses(2, 2.9, 1.9, 0.9)})
    await deliver(pool, resumed, first)
    assert [point["training_loss"] for point in await points_of(ask, first)] == [4.0, 2.9, 1.9, 0.9]


async def test_a_long_curve_is_thinned_with_its_extremes_and_validations(pool, ask) -> None:
    random = Random(3)  # noqa: S311
    steps = range(5_000)
    training = [random.uniform(1, 2) for _ in steps]
    training[1_234], training[4_321] = 0.5, 9.0
    points = [
        MetricPoint(step=step, epoch=0, training_loss=training[step], validation_loss=1.5 if step % 500 == 0 else None)
        for step in steps
    ]
    event = job_progress(points=tuple(points))
    await deliver(pool, event)
    drawn = await points_of(ask, event, max_points=200)
    assert 150 <= len(drawn) <= 200
    assert {0.5, 9.0} <= {point["training_loss"] for point in drawn}
    assert [point["step"] for point in drawn if point["validation_loss"] is not None] == list(range(0, 5_000, 500))
    assert all(point == shown(points[point["step"]]) for point in drawn)


async def test_a_range_of_steps_is_drawn_with_both_ends(pool, ask) -> None:
    event = job_progress(points=losses(0, *[1.0] * 100))
    await deliver(pool, event)
    assert [point["step"] for point in await points_of(ask, event, **{"from": 40, "to": 42})] == [40, 41, 42]


async def test_a_batch_of_progress_is_one_transaction(pool) -> None:
    job, user = new_id(), new_id()
    events = [job_progress(job_id=job, user_id=user, seq=seq) for seq in range(1, 501)]
    acknowledged = []

    async def ack() -> None:
        acknowledged.append(await pool.fetchval("SELECT count(*) FROM metric_chunks"))

    records = tuple(SimpleNamespace(value=event.model_dump_json().encode()) for event in events)
    kafka = KafkaClient(KafkaSettings(kafka_bootstrap="127.0.0.1:1"), "tracker")
    consumer = Consumer(kafka, pool, subscribers.on_job_progress)
    assert await consumer.consume(records, ack)
    assert acknowledged == [500]
    assert await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM metric_chunks") == 1
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 500
