"""Find what the name of a model stands for."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from brightrun.api.checkpoints.actions import copy_checkpoint
from brightrun.api.errors import ModelNotFound
from brightrun.api.http.clients import ServiceClients
from brightrun.api.jobs import queries as jobs
from brightrun.api.jobs.models import Job
from brightrun.api.openai import ids
from brightrun.api.openai.translation import base_model_names, is_base_model
from brightrun.api.pricing import queries as prices
from brightrun.runtime.database import Pool


async def resolve_model(
    pool: Pool, clients: ServiceClients, user_id: UUID, name: str, *, keep_copy: timedelta
) -> str | UUID:
    """The name of a base model, or the artifact of a fine-tuned one, whose owner is not checked.

    A checkpoint is copied first. Raises ModelNotFound, and what `copy_checkpoint` raises.
    """
    if artifact_id := ids.read_model(name):
        return artifact_id
    if checkpoint := ids.read_checkpoint_model(name):
        job, saved = await find_checkpoint(pool, clients, user_id, *checkpoint)
        return await copy_checkpoint(pool, clients, job, saved["attempt"], saved["step"], keep=keep_copy)
    known = await prices.list_base_models(pool)
    if not is_base_model(name, known):
        raise ModelNotFound({"model": [f"{name!a} is not one of {', '.join(base_model_names(known)) or 'none'}"]})
    return name


async def find_checkpoint(
    pool: Pool, clients: ServiceClients, user_id: UUID, named_after: UUID, step: int
) -> tuple[Job, dict[str, Any]]:
    """The user's job, and the newest checkpoint of the step if several attempts saved one. Raises ModelNotFound."""
    job = await jobs.find_job_of_model(pool, user_id, named_after)
    found = await clients.tracker.list_checkpoints(user_id, job.id, step=step, limit=1) if job else []
    if job is None or not found:
        raise ModelNotFound({"model": [f"there is no checkpoint of step {step} of a job of yours by this name"]})
    return job, found[0]
