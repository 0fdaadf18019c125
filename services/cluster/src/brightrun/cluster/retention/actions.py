"""Deletes folders of old runs, and events that nobody reads any more."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge

from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.retention import queries, rules
from brightrun.cluster.retention.models import Deletion, Part
from brightrun.cluster.runs.run_context import RunContext
from brightrun.contracts.values import utc_now

log = structlog.get_logger()

MAX_EVENTS_PER_ROUND = 5_000

REMOVED = Counter("brightrun_cluster_removed_bytes_total", "Bytes of finished runs deleted from the disk.", ["part"])
UNFETCHED = Gauge("brightrun_cluster_unfetched_runs", "Completed runs with files that were never downloaded.")


async def delete_old_events(context: RunContext) -> bool:
    before = utc_now() - timedelta(days=context.settings.keep_event_days)
    return await context.store.transact(queries.delete_events, before, MAX_EVENTS_PER_ROUND) == MAX_EVENTS_PER_ROUND


async def delete_finished_runs(context: RunContext) -> None:
    """The oldest first; the free space is measured again after each, as others use the disk as well."""
    settings, store = context.settings, context.store
    runs = await store.read(queries.finished_runs)
    needed = await store.read(queries.needed_for_resuming)
    UNFETCHED.set(sum(bool(run.not_downloaded) for run in runs))
    promised = rules.with_promised_checkpoints(runs, utc_now(), timedelta(days=settings.keep_checkpoint_days))
    needed |= promised
    for deletion in rules.expired(runs, needed, utc_now(), timedelta(days=settings.keep_run_days)):
        await _delete(context, deletion)
    for deletion in rules.early_deletions(runs, needed, utc_now()):
        if context.free_resources().free_disk >= settings.keep_free_bytes:
            return
        await _delete(context, deletion)


async def _delete(context: RunContext, deletion: Deletion) -> None:
    folder = context.folder(deletion.run_id)
    size = sum([await asyncio.to_thread(_delete_tree, path) for path in _paths(folder, deletion.part)])
    if deletion.part == "run":
        await context.store.transact(queries.record_deletion, deletion.run_id, utc_now())
    if size:
        REMOVED.labels(deletion.part).inc(size)
        log.info("run.deleted", external_job_id=deletion.run_id, part=deletion.part, bytes=size)


def _paths(folder: RunFolder, part: Part) -> list[Path]:
    return {
        "dataset": [folder.dataset, folder.validation, folder.init_adapter, folder.cache],
        "checkpoints": [folder.checkpoints],
        "run": [folder.path],
    }[part]


def _delete_tree(path: Path) -> int:
    """How many bytes were deleted; hard links into other folders count, though their space is not freed."""
    if path.is_file():
        size = path.stat().st_size
        path.unlink()
        return size
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.exists() else 0
    shutil.rmtree(path, ignore_errors=True)
    return size
