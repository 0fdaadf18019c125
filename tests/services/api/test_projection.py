"""What the gateway shows of jobs that others move."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brightrun.api.jobs import subscribers
from brightrun.contracts.event import Event
from brightrun.contracts.events import JobCompleted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool, transaction
from tests.builders import (
    NOON,
    artifact_ready,
    dataset_validated,
    job_completed,
    job_progress,
    job_started,
    pricing,
)
from tests.services.api.conftest import User, in_turn, submission, validated_dataset
from tests.services.api.fakes import FakeTracker
from tests.services.slices import subscriptions_of

SUBSCRIPTIONS = subscribers.SUBSCRIPTIONS

COURSE = "SELECT status, attempt, seq, latest, metrics, ending, artifact, segments FROM jobs WHERE id = $1"


async def tell(pool: Pool, *events: Event) -> None:
    """Each event in a transaction of its own, as it would be delivered."""
    for event in events:
        handler = next(handler for handler in SUBSCRIPTIONS if handler.event is type(event))
        async with transaction(pool) as conn:
            await handler.handle([event], conn)


async def queued(pool: Pool, user: User) -> UUID:
    answer = await user.post("/api/jobs", json=submission(await validated_dataset(pool, user)))
    return UUID(answer.json()["data"]["id"])


async def shown(user: User, job_id: UUID) -> dict[str, Any]:
    job: dict[str, Any] = (await user.get(f"/api/jobs/{job_id}")).json()["data"]["job"]
    return job


def story(job_id: UUID) -> list[Event]:
    prices = pricing("3.5000", "0.5000")
    return [
        job_started(job_id=job_id),
        job_progress(job_id=job_id, seq=1, status=JobStatus.INITIALIZING, stage="loading", started_at=None, points=()),
        job_progress(job_id=job_id, seq=2, percent=30.0, eta_seconds=20.0),
        job_progress(job_id=job_id, seq=3, percent=60.0, eta_seconds=10.0, trained_tokens=600),
        job_completed(job_id=job_id, pricing=prices, finished_at=NOON + timedelta(seconds=100), trained_tokens=900),
        artifact_ready(job_id=job_id, pricing=prices),
    ]


async def test_a_job_shows_its_progress(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    started, loading, first, second, completed, stored = story(job_id)

    await tell(pool, started)
    assert (await shown(ada, job_id))["status"] == "initializing"
    await tell(pool, loading)
    assert (await shown(ada, job_id))["current_stage"] == "loading"

    await tell(pool, first, second)
    running = await shown(ada, job_id)
    assert (running["status"], running["current_stage"], running["progress"]) == ("running", "training", 60.0)
    assert (running["current_step"], running["total_steps"], running["eta_seconds"]) == (3, 90, 10.0)
    assert (running["trained_tokens"], running["started_at"]) == (600, "2026-11-24T12:00:00Z")
    assert running["current_metrics"] == {"training_loss": 2.0, "learning_rate": 1e-4, "throughput": 900.0}
    assert running["final_cost"] is None

    await tell(pool, completed, stored)
    done = await shown(ada, job_id)
    assert (done["status"], done["progress"], done["eta_seconds"]) == ("completed", 100.0, None)
    assert (done["current_cost"], done["final_cost"]) == (0.5972, 0.5972)
    assert (done["trained_tokens"], done["completed_at"]) == (900, "2026-11-24T12:01:40Z")
    assert done["artifact_id"] == str(stored.artifact_id)


async def test_the_row_is_the_same_in_any_order_of_arrival(ada: User, pool: Pool):
    expected = await queued(pool, ada)
    reference = story(expected)
    await tell(pool, *reference)
    row = await pool.fetchrow(COURSE, expected)
    loop = asyncio.get_running_loop()

    async def project_in(order: list[int], again: list[int]) -> None:
        job_id = await queued(pool, ada)
        retold = [event.model_copy(update={"job_id": job_id, "event_id": new_id()}) for event in reference]
        await tell(pool, *(retold[place] for place in [*order, *again]))
        assert await pool.fetchrow(COURSE, job_id) == row

    @settings(max_examples=25, deadline=None)
    @given(st.permutations(range(len(reference))), st.lists(st.integers(0, len(reference) - 1), max_size=3))
    def in_any_order(order: list[int], again: list[int]) -> None:
        asyncio.run_coroutine_threadsafe(project_in(order, again), loop).result(30)

    await asyncio.to_thread(in_any_order)


async def test_events_of_all_topics_at_once_lose_nothing(ada: User, pool: Pool):
    job_ids = [await queued(pool, ada) for _ in range(4)]
    events = [event for events in zip(*map(story, job_ids), strict=True) for event in events]
    await asyncio.gather(*(tell(pool, event) for event in events))

    for job_id in job_ids:
        job = await shown(ada, job_id)
        assert (job["status"], job["final_cost"], job["current_step"]) == ("completed", 0.5972, 3)


async def test_facts_of_two_topics_at_the_same_moment_are_both_kept(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    *_, progress, completed, _ = story(job_id)
    await in_turn(
        pool,
        lambda conn: subscribers.on_job_progress.handle([progress], conn),
        lambda conn: subscriptions_of("api")[JobCompleted].handle([completed], conn),
    )

    job = await shown(ada, job_id)
    assert (job["status"], job["current_step"]) == ("completed", 3)


async def test_a_batch_moves_each_job_to_its_newest_progress(ada: User, pool: Pool):
    first, second = await queued(pool, ada), await queued(pool, ada)
    batch = [job_progress(job_id=job_id, seq=seq) for seq in (1, 3, 2) for job_id in (first, second)]
    async with transaction(pool) as conn:
        await subscribers.on_job_progress.handle([*batch, job_progress(job_id=new_id())], conn)

    assert [(await shown(ada, job_id))["current_step"] for job_id in (first, second)] == [3, 3]


async def test_a_failed_job_has_its_error(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    error = JobError(code="out_of_memory", message="The GPU's memory is full.", advice="Use a smaller batch.")
    await tell(pool, job_completed(job_id=job_id, outcome=JobStatus.FAILED, error=error))

    job = await shown(ada, job_id)
    assert (job["status"], job["error_message"]) == ("failed", "The GPU's memory is full.")
    assert job["error"] == error.model_dump()


async def test_facts_about_unknown_jobs_are_ignored(pool: Pool):
    await tell(pool, *story(new_id()))

    assert await pool.fetchval("SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize(("status", "answered"), [("ready", 201), ("invalid", 400)])
async def test_a_validated_data_set_is_known_without_asking(ada: User, pool: Pool, status: str, answered: int):
    event = dataset_validated(user_id=ada.id, status=status)
    await tell(pool, event, event)

    answer = await ada.post("/api/jobs", json=submission(event.dataset_id))
    assert answer.status_code == answered


async def test_the_curve_and_the_ledger_are_the_trackers(ada: User, pool: Pool, tracker: FakeTracker):
    job_id = await queued(pool, ada)
    detail = (await ada.get(f"/api/jobs/{job_id}")).json()["data"]

    assert detail["metrics"] == [{"step": 1, "training_loss": 2.5}]
    assert detail["cost_records"] == [{"cost_type": "compute", "amount": 0.0972}]
    assert detail["unavailable"] == []


async def test_a_job_is_shown_while_the_tracker_is_unavailable(ada: User, pool: Pool, tracker: FakeTracker):
    job_id = await queued(pool, ada)
    tracker.unavailable = True
    detail = (await ada.get(f"/api/jobs/{job_id}")).json()["data"]
    curve = await ada.get(f"/api/jobs/{job_id}/metrics")

    assert detail["job"]["id"] == str(job_id)
    assert (detail["metrics"], detail["cost_records"]) == ([], [])
    assert detail["unavailable"] == ["metrics", "costs"]
    assert (curve.status_code, curve.json()["code"]) == (503, "unavailable")


async def test_a_job_unknown_to_the_tracker_has_no_curve(ada: User, pool: Pool, tracker: FakeTracker):
    job_id = await queued(pool, ada)
    tracker.knows_job = False

    assert (await ada.get(f"/api/jobs/{job_id}")).json()["data"]["unavailable"] == []
    assert (await ada.get(f"/api/jobs/{job_id}/metrics")).json()["data"] == {"points": []}
    assert (await ada.get(f"/api/jobs/{job_id}/events")).json()["data"] == {"events": []}


async def test_query_parameters_of_curves_and_events_are_passed_on(ada: User, pool: Pool, tracker: FakeTracker):
    job_id = await queued(pool, ada)
    await ada.get(f"/api/jobs/{job_id}/metrics", params={"from": 5, "to": 9, "max_points": 50})
    await ada.get(f"/api/jobs/{job_id}/events", params={"after": 7, "limit": 3})

    assert tracker.requests == [
        (f"GET /jobs/{job_id}/metrics", {"from": "5", "to": "9", "max_points": "50"}),
        (f"GET /jobs/{job_id}/events", {"after": "7", "limit": "3"}),
    ]
