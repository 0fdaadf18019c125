"""Files of completed jobs are transferred from their cluster into the store, by any number of processes."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from prometheus_client import Counter

from brightrun.artifacts.keys import MAX_FILE_BYTES, MODELS, model_key
from brightrun.artifacts.leases import LEASE, LeaseLost, while_leased
from brightrun.artifacts.models import actions, queries
from brightrun.artifacts.models.models import Model
from brightrun.artifacts.models.rules.files import MANIFEST, adapter_of, can_retry, check_files, write_manifest
from brightrun.artifacts.settings import Settings
from brightrun.artifacts.source import StoredObject
from brightrun.artifacts.storage import ObjectStore
from brightrun.cluster_client.client import ClusterClient
from brightrun.contracts.events import ArtifactFile
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

TRANSFERS = Counter(
    "brightrun_transfers_total", "Tries to copy files from a cluster into the store.", ["kind", "outcome"]
)


async def transfer_next(
    pool: Pool, store: ObjectStore, cluster: ClusterClient, settings: Settings, *, copies: bool = True
) -> bool:
    """Transfer one model's files; False if none is due. A failed transfer is retried, up to `transfer_attempts` times.

    Without `copies`, checkpoints are left to others. A crash anywhere leaves the model pending: the next lease verifies
    what is stored and moves the rest.
    """
    async with transaction(pool) as conn:
        model = await queries.lease_model(conn, cluster.name, LEASE, copies=copies)
    if model is None:
        return False
    kind = "model" if model.step is None else "checkpoint"
    bound = log.bind(job_id=str(model.job_id), artifact_id=str(model.id), tries=model.tries)
    try:
        renew = partial(queries.renew_transfer, pool, model.lease, LEASE)
        files, metadata = await while_leased(_move(store, cluster, model), renew)
        async with transaction(pool) as conn:
            stored = await actions.finish_transfer(conn, model, files, metadata)
        TRANSFERS.labels(kind, "stored" if stored else "lease_lost").inc()
        bound.info("artifact.stored" if stored else "transfer.lease_lost", files=len(files))
    except LeaseLost:
        TRANSFERS.labels(kind, "lease_lost").inc()
        bound.warning("transfer.lease_lost")
    except Exception as error:
        TRANSFERS.labels(kind, "failed").inc()
        bound.warning("transfer.failed", error=repr(error))
        first_pause = timedelta(seconds=settings.transfer_retry_seconds)
        max_tries = settings.transfer_attempts if model.step is None or can_retry(error) else model.tries
        async with transaction(pool) as conn:
            await actions.record_problem(conn, model, error, max_tries, first_pause)
    return True


async def _move(store: ObjectStore, cluster: ClusterClient, model: Model) -> tuple[list[ArtifactFile], dict[str, Any]]:
    """Transfer every file, then write the manifest; returns the files with it, and the trainer's metadata."""
    if model.step is None:
        artifacts = await cluster.artifacts(model.external_job_id)
    else:
        artifacts = adapter_of(await cluster.checkpoint(model.external_job_id, model.step))
    check_files(artifacts)
    announced = {file.name: StoredObject(file.size, file.sha256) for file in artifacts.files}
    files = []
    for name, address in sorted(artifacts.download_urls.items()):
        key = model_key(model.user_id, model.id, name)
        moved = await _move_file(store, cluster, key, address, announced.get(name))
        files.append(ArtifactFile(name=name, size=moved.size, sha256=moved.sha256))
        failpoint("transfer.file_stored")
    manifest = write_manifest(model, files, artifacts.model_metadata)
    key = model_key(model.user_id, model.id, MANIFEST)
    written = await store.put(MODELS, key, _one_piece(manifest), MAX_FILE_BYTES)
    failpoint("transfer.manifest_stored")
    return [*files, ArtifactFile(name=MANIFEST, size=written.size, sha256=written.sha256)], artifacts.model_metadata


async def _move_file(
    store: ObjectStore, cluster: ClusterClient, key: str, address: str, expected: StoredObject | None
) -> StoredObject:
    if expected and await store.holds(MODELS, key, expected):
        return expected
    async with cluster.download(address) as stream:
        return await store.put(MODELS, key, stream, MAX_FILE_BYTES, expected)


async def _one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content
