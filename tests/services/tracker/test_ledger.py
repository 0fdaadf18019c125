"""The ledger: complete, exact, append-only."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from random import Random

import asyncpg
import pytest

from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import new_id
from tests.builders import (
    NOON,
    artifact_ready,
    job_completed,
    job_paused,
    job_progress,
    job_queued,
    job_started,
    pricing,
)
from tests.services.tracker.conftest import deliver

YEAR = {"start": "2026-01-01T00:00:00Z", "end": "2026-12-31T00:00:00Z"}


async def test_the_ledger_adds_up_to_rate_times_time_exactly(pool, ask) -> None:
    random = Random(7)  # noqa: S311
    user, expected, storage = new_id(), Decimal(0), Decimal(0)
    for _ in range(100):
        rate, microseconds = Decimal(random.randrange(1, 400_000)) / 10_000, random.randrange(10**11)
        finished_at = NOON + timedelta(microseconds=microseconds)
        prices = pricing(str(rate), str(Decimal(random.randrange(10_000)) / 10_000))
        done = job_completed(user_id=user, pricing=prices, finished_at=finished_at, occurred_at=NOON)
        await deliver(pool, done, artifact_ready(job_id=done.job_id, user_id=user, pricing=prices, occurred_at=NOON))
        ten_thousandths = Fraction(rate) * microseconds / 3_600_000_000 * 10_000
        expected += Decimal(int(ten_thousandths + Fraction(1, 2))) / 10_000
        storage += prices.storage
    costs = (await ask(user).get("/costs", params=YEAR)).json()["data"]
    assert costs["cost_by_type"] == {"compute": f"{expected:.4f}", "storage": f"{storage:.4f}"}
    assert costs["total_cost"] == f"{expected + storage:.4f}"
    assert sum(Decimal(record["amount"]) for record in costs["records"]) == expected + storage
    assert sum(Decimal(day["amount"]) for day in costs["chart_data"]) == expected + storage


async def test_a_redelivered_ending_is_charged_once(pool, ask) -> None:
    user = new_id()
    done = job_completed(user_id=user)
    stored = artifact_ready(job_id=done.job_id, user_id=user)
    await deliver(pool, done, stored, done, stored)
    records = (await ask(user).get(f"/jobs/{done.job_id}/costs")).json()["data"]["cost_records"]
    assert sorted((record["cost_type"], record["amount"]) for record in records) == [
        ("compute", "0.0025"),
        ("storage", "0.5000"),
    ]


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_each_segment_of_a_paused_job_is_billed_once_in_any_order_of_events(pool, ask, order) -> None:
    user, job_id = new_id(), new_id()
    minutes = [NOON + timedelta(minutes=number) for number in range(9)]
    ids = {"job_id": job_id, "user_id": user}
    first = job_paused(**ids, attempt=1, started_at=minutes[0], finished_at=minutes[1])
    second = job_paused(**ids, attempt=3, started_at=minutes[3], finished_at=minutes[5])
    parts = first.billed + second.billed
    done = job_completed(**ids, attempt=4, started_at=minutes[6], finished_at=minutes[8], segments=parts)
    facts = [first, second, done]
    await deliver(pool, *(facts[place] for place in order), *facts)
    records = (await ask(user).get(f"/jobs/{job_id}/costs")).json()["data"]["cost_records"]
    amounts = {record["attempt"]: Decimal(record["amount"]) for record in records}
    assert len(records) == 3
    assert sum(amounts.values()) == done.pricing.total(done.billed) == Decimal("0.0042")


async def test_a_job_cancelled_before_it_ran_has_no_record(pool, ask) -> None:
    cancelled = job_completed(outcome=JobStatus.CANCELLED, attempt=0, started_at=None)
    await deliver(pool, cancelled)
    answer = await ask(cancelled.user_id).get(f"/jobs/{cancelled.job_id}/costs")
    assert answer.json()["data"]["cost_records"] == []


async def test_both_ends_of_a_period_belong_to_it(pool, ask) -> None:
    user = new_id()
    moments = [NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2)]
    await deliver(pool, *(artifact_ready(user_id=user, occurred_at=moment) for moment in moments))

    async def total(start: datetime, end: datetime) -> str:
        params = {"start": start.isoformat(), "end": end.isoformat()}
        return (await ask(user).get("/costs", params=params)).json()["data"]["total_cost"]

    assert await total(moments[0], moments[2]) == "1.5000"
    assert await total(moments[0], moments[1]) == "1.0000"
    assert await total(moments[2], moments[2]) == "0.5000"
    assert await total(moments[2] + timedelta(microseconds=1), NOON + timedelta(days=9)) == "0.0000"


async def test_the_chart_has_a_bar_for_each_day_in_utc(pool, ask) -> None:
    user = new_id()
    evening = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)
    for moment in (evening, evening, evening + timedelta(minutes=2)):
        await deliver(pool, artifact_ready(user_id=user, occurred_at=moment))
    costs = (await ask(user).get("/costs", params=YEAR)).json()["data"]
    assert costs["chart_data"] == [
        {"date": "2026-11-24", "amount": "1.0000"},
        {"date": "2026-11-25", "amount": "0.5000"},
    ]


async def test_records_are_bounded_while_sums_cover_all(pool, ask) -> None:
    user = new_id()
    await pool.execute(
        """
        INSERT INTO cost_records (id, job_id, user_id, attempt, cost_type, amount, recorded_at, details)
        SELECT uuidv7(), uuidv7(), $1, 1, 'compute', 0.0001, $2::timestamptz + n * '1 s'::interval, '{}'
        FROM generate_series(1, 10001) AS n
        """,
        user,
        NOON,
    )
    costs = (await ask(user).get("/costs", params=YEAR)).json()["data"]
    assert (len(costs["records"]), costs["truncated"], costs["total_cost"]) == (10_000, True, "1.0001")
    assert costs["records"][0]["recorded_at"] == "2026-11-24T14:46:41Z"


async def test_costs_are_grouped_by_day_and_by_job(pool, ask) -> None:
    user = new_id()
    done = job_completed(user_id=user, occurred_at=NOON)
    stored = artifact_ready(user_id=user, job_id=done.job_id, occurred_at=NOON + timedelta(days=1))
    await deliver(pool, done, stored, artifact_ready(user_id=user, occurred_at=NOON), artifact_ready())
    compute = f"{sum(done.pricing.compute_cost(part.started_at, part.finished_at) for part in done.billed):.4f}"

    async def groups(by: str) -> list[dict[str, str]]:
        return (await ask(user).get("/costs/groups", params=YEAR | {"by": by})).json()["data"]["groups"]

    day = str(NOON.date())
    assert await groups("day") == [
        {"key": day, "compute": compute, "storage": "0.5000"},
        {"key": str((NOON + timedelta(days=1)).date()), "compute": "0.0000", "storage": "0.5000"},
    ]
    assert {"key": str(done.job_id), "compute": compute, "storage": "0.5000"} in await groups("job")
    assert len(await groups("job")) == 2


async def test_records_are_read_in_pages_of_which_none_is_lost(pool, ask) -> None:
    user = new_id()
    await pool.execute(
        """
        INSERT INTO cost_records (id, job_id, user_id, attempt, cost_type, amount, recorded_at, details)
        SELECT uuidv7(), uuidv7(), $1, 1, 'compute', 0.0001, $2::timestamptz + n / 700 * '1 s'::interval, '{}'
        FROM generate_series(0, 1999) AS n
        """,
        user,
        NOON,
    )
    seen, after = [], {}
    while True:
        params = YEAR | {"start": NOON.isoformat()} | after
        page = (await ask(user).get("/costs/records", params=params)).json()["data"]
        seen += [(record["recorded_at"], record["id"]) for record in page["records"]]
        if page["next"] is None:
            break
        after = {"after_time": page["next"]["recorded_at"], "after_id": page["next"]["id"]}
    assert len(set(seen)) == len(seen) == 2000
    assert seen == sorted(seen)


async def test_costs_of_another_user_are_not_seen(pool, ask) -> None:
    await deliver(pool, artifact_ready())
    costs = (await ask(new_id()).get("/costs", params=YEAR)).json()["data"]
    assert costs == {"total_cost": "0.0000", "cost_by_type": {}, "chart_data": [], "records": [], "truncated": False}


async def test_a_period_needs_times_with_a_zone(ask) -> None:
    answer = await ask(new_id()).get("/costs", params={"start": "2026-01-01T00:00:00", "end": YEAR["end"]})
    assert answer.status_code == 400
    assert "start" in answer.json()["details"]


@pytest.mark.parametrize(
    "change", ["UPDATE cost_records SET amount = 0", "DELETE FROM cost_records", "TRUNCATE cost_records"]
)
async def test_the_ledger_is_append_only(pool, change: str) -> None:
    await deliver(pool, artifact_ready())
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await pool.execute(change)
    assert await pool.fetchval("SELECT sum(amount) FROM cost_records") == Decimal("0.5000")


async def test_facts_that_cost_nothing_leave_the_ledger_empty(pool) -> None:
    await deliver(pool, job_queued(), job_started(), job_progress())
    assert await pool.fetchval("SELECT count(*) FROM cost_records") == 0
