"""Query parameters of the runs' routes."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field


class RunFilters(BaseModel):
    """Which runs to list, and which page of them."""

    job_id: UUID | None = None
    attempt: Annotated[int, Field(ge=1)] | None = None
    live: bool | None = None
    page: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
