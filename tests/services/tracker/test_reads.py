"""The event log, facts in any order, and whose a job is."""

import asyncio
from datetime import datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest

from brightrun.contracts.events import JobEvent, JobLogged
from brightrun.contracts.training import Checkpoint
from brightrun.contracts.values import new_id
from brightrun.runtime.database import transaction
from brightrun.tracker import actions
from tests.builders import (
    NOON,
    UNKNOWN_ID,
    artifact_ready,
    job_completed,
    job_deleted,
    job_paused,
    job_progress,
    job_queued,
    job_refused,
    job_resume_requested,
    job_started,
)
from tests.contracts.original import COST_RECORD, POINT, differences
from tests.services.tracker.conftest import deliver
from tests.waiting import eventually

JOB_READS = ("metrics", "checkpoints", "costs", "events")


async def read(ask, fact, what: str, **params: int):
    answer = await ask(fact.user_id).get(f"/jobs/{fact.job_id}/{what}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_topics_in_any_order_give_the_same_log_in_the_order_in_which_it_happened(pool, ask) -> None:
    """But for the progress of a job whose end is logged: no entry follows the end."""
    logs: dict[bool, set] = {True: set(), False: set()}
    seen = set()
    facts = [job_queued(), job_started(), job_progress(), job_completed(), artifact_ready()]
    for order in permutations(facts):
        whose = {"job_id": new_id(), "user_id": new_id()}
        await deliver(pool, *(fact.model_copy(update=whose) for fact in order))
        first = facts[0].model_copy(update=whose)
        log = (await read(ask, first, "events"))["events"]
        costs = (await read(ask, first, "costs"))["cost_records"]
        points = (await read(ask, first, "metrics"))["points"]
        in_time = order.index(facts[2]) < max(order.index(facts[number]) for number in (0, 1, 3))
        logs[in_time].add(tuple((entry["occurred_at"], entry["type"], entry["message"]) for entry in log))
        seen.add(
            (
                tuple(sorted((cost["cost_type"], cost["amount"], cost["recorded_at"]) for cost in costs)),
                tuple(point["training_loss"] for point in points),
            )
        )
    assert len(seen) == len(logs[True]) == len(logs[False]) == 1
    costs, points = seen.pop()
    whole, without_stage = logs[True].pop(), logs[False].pop()
    kinds = ["queued", "started", "stage_changed", "metrics", "completed", "artifact_ready"]
    assert [kind for _, kind, _ in whole] == kinds
    assert [entry for entry in whole if entry[1] not in ("stage_changed", "metrics")] == list(without_stage)
    assert await pool.fetchval("SELECT count(*) FROM held_entries") == 0
    assert len(costs) == 2
    assert len(points) == 1


async def test_the_end_of_a_job_is_followed_by_its_model_only_though_progress_comes_late(pool, ask) -> None:
    completed = job_completed()
    whose = {"job_id": completed.job_id, "user_id": completed.user_id}
    await begin(pool, completed)
    await deliver(pool, completed, job_progress(stage="saving", **whose), artifact_ready(**whose))
    log = (await read(ask, completed, "events"))["events"]
    assert [entry["type"] for entry in log] == ["queued", "started", "completed", "artifact_ready"]
    assert len((await read(ask, completed, "metrics"))["points"]) == 1


async def test_a_pause_is_not_logged_before_its_job_is_queued(pool, ask) -> None:
    queued = job_queued()
    whose = {"job_id": queued.job_id, "user_id": queued.user_id}
    paused = job_paused(started_at=None, **whose)
    await deliver(pool, paused, job_resume_requested(occurred_at=paused.occurred_at + timedelta(seconds=1), **whose))
    assert (await read(ask, queued, "events"))["events"] == []
    await deliver(pool, queued)
    log = (await read(ask, queued, "events"))["events"]
    assert [entry["type"] for entry in log] == ["queued", "paused", "resumed"]


async def test_a_redelivered_fact_is_logged_once(pool, ask) -> None:
    queued = job_queued()
    whose = {"job_id": queued.job_id, "user_id": queued.user_id}
    facts = [queued, job_started(**whose), job_progress(**whose), job_completed(**whose), artifact_ready(**whose)]
    await deliver(pool, *facts)
    before = await read(ask, queued, "events")
    await deliver(pool, *facts)
    assert await read(ask, queued, "events") == before


async def test_the_log_is_paged_by_the_last_id_seen(pool, ask) -> None:
    stages = ["loading", "tokenizing", "training", "evaluating", "saving"]
    first = job_progress(stage=stages[0], points=())
    whose = {"job_id": first.job_id, "user_id": first.user_id}
    await begin(pool, first)
    await deliver(pool, first, *(job_progress(seq=seq, stage=stages[seq], points=(), **whose) for seq in range(1, 5)))
    page = (await read(ask, first, "events", limit=4))["events"]
    rest = (await read(ask, first, "events", after=page[-1]["id"]))["events"]
    assert [entry["type"] for entry in page[:2]] == ["queued", "started"]
    assert [entry["data"]["stage"] for entry in page[2:] + rest] == stages


async def test_the_log_is_paged_from_its_newest_entry_back(pool, ask) -> None:
    stages = ["loading", "tokenizing", "training", "evaluating", "saving"]
    first = job_progress(stage=stages[0], points=())
    whose = {"job_id": first.job_id, "user_id": first.user_id}
    await begin(pool, first)
    await deliver(pool, first, *(job_progress(seq=seq, stage=stages[seq], points=(), **whose) for seq in range(1, 5)))
    page = (await read(ask, first, "events", limit=2, order="desc"))["events"]
    rest = (await read(ask, first, "events", after=page[-1]["id"], order="desc"))["events"]
    assert [entry["data"]["stage"] for entry in (page + rest)[:-2]] == stages[::-1]
    assert [entry["type"] for entry in rest[-2:]] == ["started", "queued"]
    assert (await read(ask, first, "events", after=0, order="desc"))["events"] == []


async def test_a_cursor_never_passes_an_entry_still_to_come(pool, ask) -> None:
    queued = job_queued()
    started = job_started(job_id=queued.job_id, user_id=queued.user_id)
    ended = job_completed(job_id=queued.job_id, user_id=queued.user_id)
    await deliver(pool, queued)

    async def waits_for_a_lock() -> bool:
        return await pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")

    async with transaction(pool) as conn:
        await actions.record_event(conn, started)
        later = asyncio.create_task(deliver(pool, ended))
        await eventually(waits_for_a_lock)
        assert [entry["type"] for entry in (await read(ask, queued, "events"))["events"]] == ["queued"]
    await later
    log = (await read(ask, queued, "events"))["events"]
    assert [entry["type"] for entry in log] == ["queued", "started", "completed"]


async def test_a_refused_job_has_failed_with_its_reason(pool, ask) -> None:
    refused = job_refused()
    await deliver(pool, refused, refused)
    [entry] = (await read(ask, refused, "events"))["events"]
    assert (entry["type"], entry["level"], entry["message"]) == ("failed", "error", refused.error.message)
    assert entry["data"]["error"]["code"] == refused.error.code


async def test_each_entry_is_published_once_with_its_predecessor(pool, ask) -> None:
    queued = job_queued()
    whose = {"job_id": queued.job_id, "user_id": queued.user_id}
    facts = [queued, job_started(**whose), job_progress(**whose), job_completed(**whose)]
    await deliver(pool, *facts, job_queued())
    await deliver(pool, *facts)
    logged = [JobLogged.model_validate_json(value) for value in await outbox(pool, queued.job_id)]
    entries = (await read(ask, queued, "events"))["events"]
    assert [entry.model_dump(include={"id", "type", "level", "message", "data"}) for entry in logged] == [
        {name: value for name, value in entry.items() if name != "occurred_at"} for entry in entries
    ]
    assert [entry.previous_id for entry in logged] == [0, *(entry.id for entry in logged[:-1])]
    assert {entry.user_id for entry in logged} == {queued.user_id}


async def begin(pool, event: JobEvent) -> None:
    """The event's job is queued, and its attempt started."""
    whose = {"job_id": event.job_id, "user_id": event.user_id}
    await deliver(pool, job_queued(**whose), job_started(**whose))


async def outbox(pool, job_id: UUID) -> list[bytes]:
    rows = await pool.fetch("SELECT value FROM outbox WHERE key = $1 ORDER BY id", str(job_id))
    return [row["value"] for row in rows]


async def test_of_a_deleted_job_only_its_costs_remain(pool, ask) -> None:
    queued = job_queued()
    whose = {"job_id": queued.job_id, "user_id": queued.user_id}
    progress = job_progress(checkpoints=(Checkpoint(step=1, saved_at=NOON),), **whose)
    completed = job_completed(occurred_at=NOON, **whose)
    await deliver(pool, queued, progress, completed, job_deleted(**whose))
    for what in JOB_READS:
        assert (await ask(queued.user_id).get(f"/jobs/{queued.job_id}/{what}")).status_code == 404
    for table in ("metric_chunks", "checkpoints", "job_events"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
    period = {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}
    costs = (await ask(queued.user_id).get("/costs", params=period)).json()["data"]
    assert [record["job_id"] for record in costs["records"]] == [str(queued.job_id)]


async def test_what_comes_after_a_deletion_brings_nothing_back_but_is_paid_for(pool, ask) -> None:
    deleted = job_deleted()
    whose = {"job_id": deleted.job_id, "user_id": deleted.user_id}
    progress = job_progress(checkpoints=(Checkpoint(step=1, saved_at=NOON),), **whose)
    other = job_progress()
    await deliver(pool, deleted, job_started(**whose), progress, job_completed(**whose))
    async with transaction(pool) as conn:
        await actions.record_progress(conn, [progress, other])
    for table in ("metric_chunks", "checkpoints", "job_events"):
        found = await pool.fetchval(f"SELECT count(*) FROM {table} WHERE job_id = $1", deleted.job_id)  # noqa: S608
        assert found == 0
    assert len((await read(ask, other, "metrics"))["points"]) == 1
    assert await outbox(pool, deleted.job_id) == []
    assert await pool.fetchval("SELECT count(*) FROM cost_records WHERE job_id = $1", deleted.job_id) == 1


@pytest.mark.parametrize("what", JOB_READS)
async def test_another_users_job_does_not_exist(pool, ask, what: str) -> None:
    fact = job_progress()
    await deliver(pool, fact)
    foreign = await ask(new_id()).get(f"/jobs/{fact.job_id}/{what}")
    unknown = await ask(fact.user_id).get(f"/jobs/{new_id()}/{what}")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()


@pytest.mark.parametrize("path", [f"/jobs/{UNKNOWN_ID}/{what}" for what in JOB_READS] + ["/costs"])
async def test_reads_need_a_token_of_a_user(ask, path: str) -> None:
    params = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    async with ask(None) as client:
        assert (await client.get(path, params=params)).status_code == 401
        client.headers.pop("authorization")
        assert (await client.get(path, params=params)).status_code == 401


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("metrics", {"max_points": 9}),
        ("metrics", {"max_points": 10_001}),
        ("metrics", {"from": -1}),
        ("events", {"limit": 0}),
        ("events", {"limit": 101}),
        ("events", {"after": -1}),
        ("events", {"after": 2**63}),
        ("events", {"order": "newest"}),
    ],
)
async def test_query_parameters_are_bounded(ask, path: str, params: dict[str, int]) -> None:
    answer = await ask(new_id()).get(f"/jobs/{new_id()}/{path}", params=params)
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == list(params)


async def test_points_and_cost_records_have_all_fields_of_the_original(pool, ask) -> None:
    progress = job_progress(occurred_at=NOON)
    whose = {"job_id": progress.job_id, "user_id": progress.user_id}
    await deliver(pool, progress, job_completed(**whose), artifact_ready(**whose))
    points = (await read(ask, progress, "metrics"))["points"]
    assert differences([POINT], points) == []
    assert {datetime.fromisoformat(point["timestamp"]) for point in points} == {NOON}
    records = (await read(ask, progress, "costs"))["cost_records"]
    # The gateway makes numbers of the amounts.
    assert differences([COST_RECORD | {"amount": "string"}], records) == []
