"""What the artifacts service tells of a data set."""

from uuid import UUID

from brightrun.api.models import Dataset
from brightrun.runtime.errors import NotFound
from brightrun.runtime.tokens import Neighbour, Refused


async def fetch_dataset(artifacts: Neighbour, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """The user's data set as it is now; None if there is none."""
    try:
        told = await artifacts.get(f"/datasets/{dataset_id}", user_id)
    except Refused as refusal:
        if refusal.status == NotFound.status:
            return None
        raise
    return Dataset(
        id=dataset_id,
        name=told["name"],
        format=told["format"],
        status=told["status"],
        training_pairs=told["total_training_pairs"] or 0,
        tokens=told["total_tokens"] or 0,
        sha256=told["sha256"],
    )
