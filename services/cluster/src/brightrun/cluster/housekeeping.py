"""Keeps the cluster's machine clean: folders of old runs, events nobody reads any more, trainers without a run."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge

from brightrun.cluster import queries, removal
from brightrun.cluster.executor import Unreachable
from brightrun.cluster.facilities import Facilities
from brightrun.cluster.removal import Removal
from brightrun.cluster.run_folder import RunFolder
from brightrun.contracts.values import utc_now

log = structlog.get_logger()

SECONDS_BETWEEN_ROUNDS = 60.0
EVENTS_AT_ONCE = 5_000

REMOVED = Counter("brightrun_cluster_removed_bytes_total", "Bytes of finished runs removed from the disk.", ["part"])
LIVE_RUNS = Gauge("brightrun_cluster_live_runs", "Runs that are not finished.")
UNFETCHED = Gauge("brightrun_cluster_unfetched_runs", "Completed runs with files that were never downloaded.")
STRANGERS = Counter("brightrun_cluster_strangers_ended_total", "Trainers ended because no live run owns them.")


async def keep_house(facilities: Facilities) -> bool:
    """One round; True while there are more events to forget."""
    await _end_strangers(facilities)
    await _remove_leftovers(facilities)
    before = utc_now() - timedelta(days=facilities.settings.keep_event_days)
    return await facilities.store.transact(queries.delete_events, before, EVENTS_AT_ONCE) == EVENTS_AT_ONCE


async def _end_strangers(facilities: Facilities) -> None:
    """The trainers are listed before the runs: one that starts in between belongs to a live run."""
    try:
        at_work = await facilities.executor.at_work()
    except Unreachable as error:
        log.warning("strangers.unknown", reason=str(error))
        return
    live = await facilities.store.read(queries.live_run_ids)
    LIVE_RUNS.set(len(live))
    for run_id, execution in at_work:
        if run_id not in live:
            log.info("stranger.ended", external_job_id=run_id)
            await execution.kill()
            STRANGERS.inc()


async def _remove_leftovers(facilities: Facilities) -> None:
    """The oldest first; how much space is left is asked again after each, as others use the disk as well."""
    settings, store = facilities.settings, facilities.store
    leftovers = await store.read(queries.leftovers)
    needed = await store.read(queries.needed_for_resuming)
    UNFETCHED.set(sum(bool(leftover.unfetched) for leftover in leftovers))
    keep = timedelta(days=settings.keep_run_days)
    for due in removal.due(leftovers, needed, utc_now(), keep):
        await _remove(facilities, due)
    for spare in removal.spare(leftovers, needed, utc_now()):
        if facilities.room(await store.read(queries.count_live)).free_disk >= settings.keep_free_bytes:
            return
        await _remove(facilities, spare)


async def _remove(facilities: Facilities, what: Removal) -> None:
    folder = facilities.folder(what.run_id)
    size = sum([await asyncio.to_thread(_remove_tree, path) for path in _paths(folder, what)])
    if what.part == "run":
        await facilities.store.transact(queries.record_removal, what.run_id, utc_now())
    if size:
        REMOVED.labels(what.part).inc(size)
        log.info("run.removed", external_job_id=what.run_id, part=what.part, bytes=size)


def _paths(folder: RunFolder, what: Removal) -> list[Path]:
    match what.part:
        case "dataset":
            return [folder.data, folder.validation, folder.init_adapter, folder.cache]
        case "checkpoints":
            return [folder.checkpoints]
        case "run":
            return [folder.path]


def _remove_tree(path: Path) -> int:
    """How many bytes were removed; hard links into other folders count, though their space is not freed."""
    if path.is_file():
        size = path.stat().st_size
        path.unlink()
        return size
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.exists() else 0
    shutil.rmtree(path, ignore_errors=True)
    return size
