"""What is asked of the cluster in queries."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field


class RunFilter(BaseModel):
    """Which runs are asked for, and which page of them."""

    job_id: UUID | None = None
    attempt: Annotated[int, Field(ge=1)] | None = None
    live: bool | None = None
    page: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
