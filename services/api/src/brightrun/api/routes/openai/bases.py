"""The base models that can be fine-tuned."""

from brightrun.api.errors import ModelNotFound
from brightrun.api.queries import prices
from brightrun.api.rules.openai.bases import choose, names
from brightrun.runtime.database import Pool


async def resolve_base(pool: Pool, name: str) -> str:
    """The base model that a request names."""
    known = await prices.list_base_models(pool)
    base = choose(name, known)
    if base is None:
        raise ModelNotFound({"model": [f"{name!a} is not one of {', '.join(names(known)) or 'none'}"]})
    return base
