"""A job is paused and resumed by its user, once however often that is requested, and costs what it trained."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from brightrun.contracts.events import JobCancelRequested, JobPauseRequested, JobResumeRequested
from brightrun.contracts.job_status import JobStatus
from brightrun.runtime.database import Pool
from tests.builders import (
    NOON,
    artifact_ready,
    job_attempt_lost,
    job_completed,
    job_paused,
    job_progress,
    job_started,
    pricing,
)
from tests.services.api.conftest import User, outbox_topics
from tests.services.api.test_projection import queued, shown, tell

Json = dict[str, Any]
REQUESTS = (JobPauseRequested, JobResumeRequested, JobCancelRequested)
PRICES = pricing("3.6000", "0.5000")
MINUTE = timedelta(minutes=1)


async def ask(user: User, job_id: UUID, action: str) -> Json:
    answer = await user.post(f"/api/jobs/{job_id}/{action}")
    assert answer.status_code == 200, answer.text
    job: Json = answer.json()["data"]
    return job


async def refused(user: User, job_id: UUID, action: str) -> str:
    answer = await user.post(f"/api/jobs/{job_id}/{action}")
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"
    return str(answer.json()["code"])


async def requests(pool: Pool) -> list[tuple[str, int]]:
    rows = await pool.fetch("SELECT topic, value FROM outbox WHERE topic <> 'job.queued' ORDER BY id")
    events = {event.topic: event for event in REQUESTS}
    read = [(row["topic"], events[row["topic"]].model_validate_json(row["value"])) for row in rows]
    return [(topic, getattr(event, "turn", 0)) for topic, event in read]


async def test_only_a_job_that_trains_is_finished_early(ada: User, eve: User, pool: Pool):
    job_id = await queued(pool, ada)
    assert await refused(ada, job_id, "finish") == "job_not_finishable"
    await tell(pool, job_started(job_id=job_id), job_progress(job_id=job_id))
    assert (await eve.post(f"/api/jobs/{job_id}/finish")).status_code == 404
    assert (await ask(ada, job_id, "finish"))["status"] == "running"
    assert "job.finish_requested" in await outbox_topics(pool)

    await tell(pool, job_completed(job_id=job_id, stopped_by="user"))
    assert (await shown(ada, job_id))["stopped_by"] == "user"
    assert await refused(ada, job_id, "finish") == "job_not_finishable"


async def test_a_pause_and_a_resume_are_requested_once(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    await tell(pool, job_started(job_id=job_id), job_progress(job_id=job_id))

    paused = await ask(ada, job_id, "pause")
    again = await ask(ada, job_id, "pause")
    assert (paused["status"], paused["pause_requested_at"]) == ("running", again["pause_requested_at"])
    assert paused["pause_requested_at"] is not None
    assert await refused(ada, job_id, "resume") == "job_not_paused"

    await tell(pool, job_paused(job_id=job_id))
    job = await shown(ada, job_id)
    assert (job["status"], job["current_stage"], job["eta_seconds"]) == ("paused", "paused", None)
    assert (await ask(ada, job_id, "pause"))["status"] == "paused"

    resumed = await ask(ada, job_id, "resume")
    assert (resumed["status"], resumed["pause_requested_at"]) == ("queued", None)
    assert await refused(ada, job_id, "resume") == "job_not_paused"
    assert await requests(pool) == [("job.pause_requested", 1), ("job.resume_requested", 2)]

    await tell(pool, job_started(job_id=job_id, attempt=2))
    await ask(ada, job_id, "pause")
    assert (await requests(pool))[2:] == [("job.pause_requested", 3)]


async def test_many_who_ask_at_once_ask_once(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    await asyncio.gather(*(ask(ada, job_id, "pause") for _ in range(8)))
    assert await requests(pool) == [("job.pause_requested", 1)]


async def test_a_waiting_job_can_be_paused_again_and_again(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    for attempt in (1, 2, 3):
        await ask(ada, job_id, "pause")
        await tell(pool, job_paused(job_id=job_id, attempt=attempt, started_at=None, step=0))
        assert (await shown(ada, job_id))["status"] == "paused"
        assert (await ask(ada, job_id, "resume"))["status"] == "queued"
    await tell(pool, job_started(job_id=job_id, attempt=4))
    assert (await shown(ada, job_id))["status"] == "initializing"


async def test_late_progress_does_not_resume_a_paused_job(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    await ask(ada, job_id, "pause")
    await tell(pool, job_paused(job_id=job_id), job_started(job_id=job_id), job_progress(job_id=job_id, seq=900))
    assert (await shown(ada, job_id))["status"] == "paused"
    await ask(ada, job_id, "resume")
    await tell(pool, job_progress(job_id=job_id, seq=901))
    assert (await shown(ada, job_id))["status"] == "queued"


async def test_a_job_on_a_cluster_that_cannot_save_it_is_not_paused(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    await tell(pool, job_started(job_id=job_id, pausable=False))
    assert await refused(ada, job_id, "pause") == "job_not_pausable"
    await tell(pool, job_attempt_lost(job_id=job_id))
    assert (await ask(ada, job_id, "pause"))["status"] == "queued", "it waits: there is nothing to be saved"


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_a_job_that_is_over_is_neither_paused_nor_resumed(ada: User, pool: Pool, status: str):
    job_id = await queued(pool, ada)
    await tell(pool, job_completed(job_id=job_id, outcome=JobStatus(status)))
    assert await refused(ada, job_id, "pause") == "job_not_pausable"
    assert await refused(ada, job_id, "resume") == "job_not_paused"
    assert await outbox_topics(pool) == ["job.queued"]


async def test_a_paused_job_that_is_being_cancelled_does_not_go_on(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    await tell(pool, job_paused(job_id=job_id))
    await ask(ada, job_id, "cancel")
    assert await refused(ada, job_id, "resume") == "job_not_paused"
    assert await refused(ada, job_id, "pause") == "job_not_pausable"


async def test_a_paused_job_is_listed_as_such_and_kept(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    await tell(pool, job_paused(job_id=job_id))
    found = (await ada.get("/api/jobs", params={"status": "paused"})).json()["data"]["jobs"]
    assert [job["id"] for job in found] == [str(job_id)]
    assert (await ada.request("DELETE", f"/api/jobs/{job_id}")).json()["code"] == "job_not_over"


async def test_the_cost_is_that_of_all_parts_and_stands_still_in_between(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    priced = {"job_id": job_id, "pricing": PRICES}
    await pool.execute("UPDATE jobs SET pricing = $1", PRICES.model_dump(mode="json"))
    first = job_paused(**priced, started_at=NOON, finished_at=NOON + 10 * MINUTE)
    await tell(pool, job_started(job_id=job_id), job_progress(job_id=job_id, started_at=NOON), first)
    job = await shown(ada, job_id)
    assert (job["current_cost"], job["final_cost"]) == (0.6, None)
    assert job["started_at"] == "2026-11-24T12:00:00Z"

    await ask(ada, job_id, "resume")
    await tell(pool, job_started(job_id=job_id, attempt=2))
    assert (await shown(ada, job_id))["current_cost"] == 0.6, "the second part has not begun to cost anything"
    done = job_completed(
        **priced,
        attempt=2,
        started_at=NOON + 60 * MINUTE,
        finished_at=NOON + 65 * MINUTE,
        segments=first.billed,
        stopped_by="budget",
    )
    await tell(pool, done, artifact_ready(**priced))
    job = await shown(ada, job_id)
    assert (job["status"], job["stopped_by"]) == ("completed", "budget")
    assert job["current_cost"] == job["final_cost"] == 1.4
    assert job["started_at"] == "2026-11-24T12:00:00Z"


async def test_the_time_of_a_lost_attempt_costs_nothing_any_more(ada: User, pool: Pool):
    job_id = await queued(pool, ada)
    await tell(pool, job_started(job_id=job_id), job_progress(job_id=job_id, started_at=NOON))
    assert (await shown(ada, job_id))["current_cost"] > 0
    await tell(pool, job_attempt_lost(job_id=job_id))
    job = await shown(ada, job_id)
    assert (job["status"], job["current_cost"], job["eta_seconds"]) == ("queued", 0, None)
