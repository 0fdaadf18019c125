"""Files of stored models are compared with their recorded digests, by any number of processes."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import Counter

from brightrun.artifacts.keys import MODELS, model_key
from brightrun.artifacts.leases import LEASE, LeaseLost, while_leased
from brightrun.artifacts.models.queries import list_files
from brightrun.artifacts.storage import ObjectMissing, ObjectStore
from brightrun.artifacts.verification import queries
from brightrun.artifacts.verification.models import StoredModel
from brightrun.contracts.events import ArtifactFile
from brightrun.runtime.database import Pool, transaction

log = structlog.get_logger()

RETRY = timedelta(minutes=5)

VERIFIED = Counter("brightrun_verified_models_total", "Stored models whose files were read again.", ["verdict"])


async def verify_next(pool: Pool, store: ObjectStore, period: timedelta) -> bool:
    """Verify one model that was not verified within `period`; False if there is none.

    A model with a file that is missing or changed is `damaged` until a later verification finds all of them right.
    A store that does not answer gives no verdict: the model is due again after `RETRY`.
    """
    async with transaction(pool) as conn:
        model = await queries.lease_model(conn, period, LEASE)
    if model is None:
        return False
    files = (await list_files(pool, [model.id]))[model.id]
    bound = log.bind(artifact_id=str(model.id))
    try:
        renew = partial(queries.renew_lease, pool, model, LEASE)
        problem = await while_leased(_find_problem(store, model, files), renew)
    except LeaseLost:
        bound.warning("verification.lease_lost")
        return True
    except Exception:
        await queries.renew_lease(pool, model, RETRY)
        raise
    async with transaction(pool) as conn:
        saved = await queries.save_verdict(conn, model.lease, problem)
    if not saved:
        bound.warning("verification.lease_lost")
    elif problem:
        bound.error("artifact.damaged", problem=problem)
    elif model.status == "damaged":
        bound.info("artifact.restored")
    VERIFIED.labels("damaged" if problem else "stored").inc()
    return True


async def _find_problem(store: ObjectStore, model: StoredModel, files: Sequence[ArtifactFile]) -> str | None:
    """What is wrong with the model's files; None if they are what was stored."""
    problems = []
    for file in files:
        try:
            intact = await _digest(store, model_key(model.user_id, model.id, file.name)) == file.sha256
        except ObjectMissing:
            problems.append(f"{file.name} is missing from the store")
        else:
            problems += [] if intact else [f"{file.name} is not the file that was stored (its SHA-256 differs)"]
    return "; ".join(problems) or None


async def _digest(store: ObjectStore, key: str) -> str:
    digest = hashlib.sha256()
    async with store.open(MODELS, key) as pieces:
        async for piece in pieces:
            await asyncio.to_thread(digest.update, piece)
    return digest.hexdigest()
