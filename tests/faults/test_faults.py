"""The auditor notices one row too few or too many in any ledger, and finds nothing after a short series of faults."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.faults.audit import breaches
from tests.faults.ledgers import Ledgers, Row
from tests.faults.rehearsal import Rehearsal, rehearsal
from tests.waiting import wait_until

SEED = 20261127
LEDGERS = (
    *("client", "sink", "runs", "emitted", "records", "jobs", "queue", "attempts", "chunks", "costs", "log"),
    *("datasets", "models", "model_files", "objects", "notifications", "deliveries"),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Rehearsal]:
    with rehearsal(SEED) as running:
        yield running


@pytest.fixture(scope="module")
def ledgers(running: Rehearsal) -> Ledgers:
    """Of some jobs, before any fault."""
    with running.submitting(pause=0.2):
        wait_until(lambda: len(running.accepted) >= 3)
    ledgers, found = running.settle(within=120)
    assert found == []
    return ledgers


def some_of(rows: list[Row]) -> list[Row]:
    """The first row of each topic or status, and the last row."""
    kinds = {tuple(str(row.get(column)) for column in ("topic", "status", "cost_type")): row for row in reversed(rows)}
    return [*kinds.values(), rows[-1]]


@pytest.mark.parametrize("name", LEDGERS)
def test_a_deleted_row_is_noticed(ledgers: Ledgers, name: str) -> None:
    for row in some_of(ledgers[name]):
        rows = [other for other in ledgers[name] if other is not row]
        assert breaches(replace(ledgers, rows=ledgers.rows | {name: rows})), row


@pytest.mark.parametrize("name", LEDGERS)
def test_a_doubled_row_is_noticed(ledgers: Ledgers, name: str) -> None:
    for row in some_of(ledgers[name]):
        assert breaches(replace(ledgers, rows=ledgers.rows | {name: [*ledgers[name], row]})), row


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("outbox", {"topic": "job.queued", "key": "job", "service": "api"}),
        ("records", {"topic": "job.queued.dead", "body": {"event_id": str(uuid4())}}),
    ],
)
def test_what_is_unpublished_or_dead_is_noticed(ledgers: Ledgers, name: str, row: dict[str, object]) -> None:
    assert breaches(replace(ledgers, rows=ledgers.rows | {name: [*ledgers[name], row]}))


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("costs", "amount", 7),
        ("jobs", "status", "running"),
        ("queue", "state", "live"),
        ("runs", "finished_at", "2026-01-01T00:00:00Z"),
        ("objects", "sha256", "0" * 64),
        ("chunks", "points", ((1.0, 0.0),)),
        ("deliveries", "status", "pending"),
    ],
)
def test_a_changed_value_is_noticed(ledgers: Ledgers, name: str, column: str, value: object) -> None:
    hanging = {str(row["id"]) for row in ledgers["endpoints"] if row["url"].endswith("/hang")}
    for row in some_of(ledgers[name]):
        if str(row.get("endpoint_id")) not in hanging:
            rows = [other if other is not row else row | {column: value} for other in ledgers[name]]
            assert breaches(replace(ledgers, rows=ledgers.rows | {name: rows})), row


def test_a_bill_above_a_limit_is_noticed(ledgers: Ledgers) -> None:
    billed = {str(row["job_id"]) for row in ledgers["costs"]}
    assert billed
    for row in ledgers["client"]:
        if row["job_id"] in billed:
            rows = [other if other is not row else row | {"max_cost": 0.00001} for other in ledgers["client"]]
            assert breaches(replace(ledgers, rows=ledgers.rows | {"client": rows})), row


def test_a_platform_survives_a_short_series_of_faults(running: Rehearsal, ledgers: Ledgers) -> None:
    with running.submitting(pause=0.5):
        running.inject(10, print, (0.5, 2))
    _, found = running.settle(within=240)
    assert running.faults
    assert found == []
    assert len(running.accepted) > len(ledgers["client"])
