"""The cluster's database: what is committed together, what is deleted."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from brightrun.cluster.models import FreeResources, Hardware, ResourceLimits, Run
from brightrun.cluster.retention import queries as retention_queries
from brightrun.cluster.runs import actions, queries, rules
from brightrun.cluster.store import Store, open_store
from brightrun.contracts.cluster_api import ClusterFile, RunEvents, SubmitRun
from brightrun.contracts.reports import FinishedReport, StageReport
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id, utc_now

PLENTY = {"free": FreeResources(1 << 40, 1 << 40, 0), "limits": ResourceLimits(0, 0, 1000), "resumed": None}


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with open_store(tmp_path) as store:
        yield store


async def submit(store: Store, slots: int = 8, **changes: Any) -> Run:
    values = {"job_id": new_id(), "dataset_url": "http://data", "gpu_config": GpuConfig(type="CPU")}
    request = SubmitRun(hyperparameters=TrainingSpec(), **values | changes)
    hardware = Hardware({"CPU": slots}, None, simulated=False)
    run, _ = await store.transact(actions.submit, request, hardware=hardware, **PLENTY)
    return run


async def end(store: Store, run: Run, files: tuple[ClusterFile, ...] = ()) -> Run:
    report = FinishedReport(outcome="completed", trained_tokens=1, files=tuple(file.name for file in files))
    return await store.transact(actions.record_reports, run, [report], 1, files)


async def events(store: Store, after: int = 0) -> RunEvents:
    _, page = await store.read(queries.read_events, after, 500)
    return RunEvents.model_validate_json(page)


async def test_a_change_that_fails_does_not_affect_those_committed_with_it(store: Store) -> None:
    run = await submit(store)

    def half(conn: sqlite3.Connection) -> None:
        actions.change(conn, run, rules.cancel)
        raise ValueError

    outcomes = await asyncio.gather(submit(store), store.transact(half), submit(store), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Run, ValueError, Run]
    assert (await store.read(actions.get_run, run.id)) == run
    assert len((await events(store)).events) == 3


async def test_many_submissions_at_once_get_different_devices_and_no_more_than_there_are(store: Store) -> None:
    outcomes = await asyncio.gather(*(submit(store, slots=8) for _ in range(12)), return_exceptions=True)
    devices = [device for run in outcomes if isinstance(run, Run) for device in run.devices]
    assert sorted(devices) == list(range(8))


async def test_a_submission_costs_the_same_however_many_gpus_are_leased(store: Store) -> None:
    await submit(store, slots=2000)
    first = await _steps_of_a_submission(store)
    for _ in range(500):
        await submit(store, slots=2000)
    assert await _steps_of_a_submission(store) < 2 * first


async def _steps_of_a_submission(store: Store) -> int:
    """How many instructions SQLite's virtual machine takes for it."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    await store.transact(lambda conn: conn.set_progress_handler(count, 1))
    await submit(store, slots=2000)
    await store.transact(lambda conn: conn.set_progress_handler(None, 1))
    return steps


async def test_the_devices_of_a_run_that_ended_are_free(store: Store) -> None:
    run = await submit(store, slots=1)
    assert await store.read(queries.count_leases) == {"CPU": 1}
    await end(store, run)
    assert await store.read(queries.count_leases) == {}
    assert (await submit(store, slots=1)).devices == (0,)


async def test_an_event_carries_its_cursor(store: Store) -> None:
    run = await submit(store)
    await store.transact(actions.record_reports, run, [StageReport(stage="loading")], 5, ())
    page = await events(store)
    assert [event.cursor for event in page.events] == [1, 2]
    assert (await events(store, after=1)).events == page.events[1:]
    assert (await events(store, after=2)).cursor == 2


async def test_old_events_are_deleted_but_the_newest_which_holds_the_cursor(store: Store) -> None:
    for _ in range(3):
        await submit(store)
    assert await store.transact(retention_queries.delete_events, utc_now() - timedelta(hours=1), 100) == 0
    assert await store.transact(retention_queries.delete_events, utc_now() + timedelta(hours=1), 100) == 2
    assert [event.cursor for event in (await events(store)).events] == [3]
    await submit(store)
    assert (await events(store)).cursor == 4


async def test_each_file_of_a_completed_run_is_to_be_downloaded(store: Store) -> None:
    files = tuple(ClusterFile(name=name, size=1, sha256="0" * 64) for name in ("a", "b"))
    run = await end(store, await submit(store), files)
    await submit(store)
    for name, not_downloaded in ((None, 2), ("a", 1), ("a", 1), ("b", 0)):
        if name:
            await store.transact(retention_queries.record_download, run.id, name, utc_now())
        (finished,) = await store.read(retention_queries.finished_runs)
        assert (finished.run_id, finished.not_downloaded) == (run.id, not_downloaded)
    await store.transact(retention_queries.record_deletion, run.id, utc_now())
    assert await store.read(retention_queries.finished_runs) == []


async def test_a_change_after_the_store_is_closed_fails_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        pass
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(store.transact(lambda conn: None), 20)
