"""HTTP routes of models: base models, and fine-tuned ones."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter

from brightrun.api.accounts.authentication import Reader, Trainer
from brightrun.api.errors import BaseModelKept, ModelInUse, ModelNotFound, Unsupported
from brightrun.api.http.clients import ServiceClients, find
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients
from brightrun.api.jobs import queries as jobs
from brightrun.api.models import actions
from brightrun.api.openai import ids
from brightrun.api.openai.actions import find_checkpoint
from brightrun.api.openai.file_schemas import Deleted, Model, Models
from brightrun.api.openai.translation import base_model_names
from brightrun.api.pricing import queries as prices
from brightrun.runtime.database import Db, Pool

router = APIRouter(prefix="/models", tags=["models"])
STORED = "stored"
INSTALLATION = "brightrun"


@router.get("", summary="Models that can be fine-tuned, and your own")
async def list_models(user: Reader, pool: Db, clients: Clients) -> Models:
    """Base models first, then yours, newest first."""
    return Models(data=[*await _base_models(pool), *await _own(pool, clients, user.id)])


@router.get("/{model:path}", summary="One model", responses=error_responses(ModelNotFound))
async def get_model(model: str, user: Reader, pool: Db, clients: Clients) -> Model:
    """A base model by name or alias, a fine-tuned one by name, or a checkpoint by its name."""
    if checkpoint := ids.read_checkpoint_model(model):
        _, saved = await find_checkpoint(pool, clients, user.id, *checkpoint)
        return Model(id=model, created=_seconds(saved["saved_at"]), owned_by=ids.write(ids.ORGANIZATION, user.id))
    artifact_id = ids.read_model(model)
    if artifact_id is None:
        found = next((base for base in await _base_models(pool) if base.id == model), None)
    else:
        found = await _find_own(pool, clients, user.id, artifact_id)
    if found is None:
        raise ModelNotFound({"model": [f"there is no {model[:256]!a}"]})
    return found


@router.delete(
    "/{model:path}",
    summary="Delete a fine-tuned model",
    responses=error_responses(ModelNotFound, BaseModelKept, ModelInUse, Unsupported),
)
async def delete_model(model: str, user: Trainer, pool: Db, clients: Clients) -> Deleted:
    """Its files are deleted soon after."""
    found = await get_model(model, user, pool, clients)
    if ids.read_checkpoint_model(model):
        raise Unsupported({"model": ["a checkpoint is deleted by its cluster in time, and its copy with its job"]})
    artifact_id = ids.read_model(model)
    if artifact_id is None:
        raise BaseModelKept
    await actions.delete_model(pool, clients, user.id, artifact_id)
    return Deleted(id=found.id, object="model")


async def _base_models(pool: Pool) -> list[Model]:
    return [
        Model(id=name, created=int(base.created_at.timestamp()), owned_by=INSTALLATION)
        for base in await prices.list_base_models(pool)
        for name in base_model_names([base])
    ]


async def _find_own(pool: Pool, clients: ServiceClients, user_id: UUID, artifact_id: UUID) -> Model | None:
    stored = await find(clients.artifacts, user_id, f"/models/{artifact_id}")
    if stored is None or stored["status"] != STORED:
        return None
    return _view(stored, user_id, await _suffixes(pool, user_id, [stored]))


async def _own(pool: Pool, clients: ServiceClients, user_id: UUID) -> list[Model]:
    """All, since OpenAI's list has no pages."""
    found = [model for model in await clients.artifacts.list_all_models(user_id) if model["status"] == STORED]
    suffixes = await _suffixes(pool, user_id, found)
    return [_view(model, user_id, suffixes) for model in found]


async def _suffixes(pool: Pool, user_id: UUID, models: list[dict[str, Any]]) -> dict[UUID, str]:
    """The suffixes of the models' jobs."""
    return await jobs.list_suffixes(pool, user_id, [UUID(model["job_id"]) for model in models])


def _view(model: dict[str, Any], user_id: UUID, suffixes: dict[UUID, str]) -> Model:
    base = model["configuration"]["hyperparameters"]["base_model"]
    return Model(
        id=ids.name_model(base, suffixes.get(UUID(model["job_id"])), UUID(model["id"])),
        created=_seconds(model["created_at"]),
        owned_by=ids.write(ids.ORGANIZATION, user_id),
    )


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
