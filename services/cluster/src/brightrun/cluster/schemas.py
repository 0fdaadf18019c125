"""Bodies of the cluster's own additions to the cluster API."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from brightrun.cluster.models import Run
from brightrun.contracts.cluster_api import RunState


class RunFilter(BaseModel):
    """Which runs are asked for, and which page of them."""

    job_id: UUID | None = None
    attempt: Annotated[int, Field(ge=1)] | None = None
    live: bool | None = None
    page: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 100


class RunSummary(BaseModel):
    """A run in a list."""

    external_job_id: str
    job_id: UUID
    attempt: int
    status: RunState

    @classmethod
    def of(cls, run: Run) -> Self:
        """What a list shows of a run."""
        return cls(
            external_job_id=run.id, job_id=run.request.job_id, attempt=run.request.attempt, status=run.status.status
        )


class Pagination(BaseModel):
    """Which page of a list this is."""

    page: int
    limit: int
    total: int
    totalPages: int  # noqa: N815


class RunList(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunSummary]
    pagination: Pagination
