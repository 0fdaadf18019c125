"""Which part of a list is asked for."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field


class Page(BaseModel):
    """Which part of a list is asked for."""

    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 20

    @property
    def offset(self) -> int:
        """How many entries come before this page."""
        return (self.page - 1) * self.limit

    def of(self, total: int) -> dict[str, int]:
        """The `pagination` of an answer."""
        return {"page": self.page, "limit": self.limit, "total": total, "totalPages": -(-total // self.limit)}


class Slice(BaseModel):
    """Which part of a list by age is asked for: from the one after the one created `at` a time with an `id` on."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    order: Literal["asc", "desc"] = "desc"
    at: AwareDatetime | None = None
    id: UUID | None = None
