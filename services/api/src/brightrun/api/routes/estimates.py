"""What a training will cost, before it is asked for."""

from uuid import UUID

from fastapi import APIRouter

from brightrun.api import artifacts
from brightrun.api.actions import estimates as actions
from brightrun.api.clients import Clients
from brightrun.api.errors import DatasetNotFound, Untrainable
from brightrun.api.models import Dataset
from brightrun.api.queries import datasets
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Others, Reader
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.estimates import Estimate, EstimateJob
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=BoundedRoute)


@router.post("/estimate", summary="What a training will cost and take", responses=refuses(DatasetNotFound, Untrainable))
async def estimate_job(body: EstimateJob, user: Reader, pool: Db, others: Others) -> Envelope[Estimate]:
    """USD and hours, the memory that it needs of each GPU type, and how good earlier estimates were."""
    dataset = await _find_dataset(pool, others, user.id, body.dataset_id)
    async with transaction(pool) as conn:
        estimate = await actions.estimate(conn, body, dataset)
    return Envelope(data=estimate)


async def _find_dataset(pool: Pool, others: Clients, user_id: UUID, dataset_id: UUID) -> Dataset:
    """As its validation told, or else as the artifacts service says now."""
    dataset = await datasets.find_dataset(pool, user_id, dataset_id)
    dataset = dataset or await artifacts.fetch_dataset(others.artifacts, user_id, dataset_id)
    if dataset is None:
        raise DatasetNotFound
    return dataset
