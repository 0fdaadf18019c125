"""The models that can be fine-tuned."""

from uuid import UUID

from brightrun.api.errors import ModelNotFound
from brightrun.api.queries import prices
from brightrun.api.rules.openai import ids
from brightrun.api.rules.openai.bases import choose, names
from brightrun.runtime.database import Pool


async def resolve_model(pool: Pool, name: str) -> str | UUID:
    """What a request names: a base model, or the artifact of a fine-tuned one, which may be anybody's."""
    if artifact_id := ids.read_model(name):
        return artifact_id
    known = await prices.list_base_models(pool)
    base = choose(name, known)
    if base is None:
        raise ModelNotFound({"model": [f"{name!a} is not one of {', '.join(names(known)) or 'none'}"]})
    return base
