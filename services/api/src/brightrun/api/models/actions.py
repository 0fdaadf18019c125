"""Complete models by their jobs, and delete them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from brightrun.api.deletions import queries as deletions
from brightrun.api.deletions.actions import execute_or_defer
from brightrun.api.errors import ModelInUse
from brightrun.api.http.clients import ServiceClients, find
from brightrun.api.models import queries
from brightrun.runtime.database import Connection, Pool, transaction
from brightrun.runtime.errors import NotFound

MAX_LISTED_JOBS = 10
"""In an error."""


async def add_presets(pool: Pool, user_id: UUID, models: Sequence[dict[str, Any]]) -> None:
    """Complete the models' configurations by the presets of their jobs; null for jobs that are deleted."""
    trained = [model for model in models if "configuration" in model]
    presets = await queries.list_presets(pool, user_id, [UUID(model["job_id"]) for model in trained])
    for model in trained:
        model["configuration"]["preset_id"] = presets.get(model["job_id"])


async def delete_model(pool: Pool, clients: ServiceClients, user_id: UUID, model_id: UUID) -> None:
    """Delete the user's model, soon if the artifacts service does not answer. Raises ModelInUse, and PeerError."""
    if await find(clients.artifacts, user_id, f"/models/{model_id}") is None:
        raise NotFound
    async with transaction(pool) as conn:
        await decide_deletion(conn, user_id, model_id)
    await execute_or_defer(pool, clients, "model", user_id, model_id)


async def decide_deletion(conn: Connection, user_id: UUID, model_id: UUID) -> None:
    """Let no further job start from the model. Raises ModelInUse while one is to."""
    await deletions.lock_object(conn, model_id)
    if jobs := await queries.list_jobs_from(conn, user_id, model_id, MAX_LISTED_JOBS):
        raise ModelInUse({"jobs": [str(job_id) for job_id in jobs]})
    await deletions.insert_deletion(conn, "model", user_id, model_id)
