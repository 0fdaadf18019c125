"""Parameters of the routes: the store, the settings, the limits, the clusters, a page."""

from collections.abc import Mapping
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from brightrun.artifacts.keys import Limits
from brightrun.artifacts.settings import Settings
from brightrun.artifacts.storage import ObjectStore
from brightrun.cluster_client.client import ClusterClient
from brightrun.contracts.pagination import Pagination


class Page(BaseModel):
    """Which part of a list is asked for."""

    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 20

    @property
    def offset(self) -> int:
        """How many entries come before this page."""
        return (self.page - 1) * self.limit

    def of(self, total: int) -> Pagination:
        """The place of this page among `total` entries."""
        return Pagination.of(self.page, self.limit, total)


class Slice(BaseModel):
    """Which part of a list by age is asked for: from the one after the one created `at` a time with an `id` on."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    order: Literal["asc", "desc"] = "desc"
    at: AwareDatetime | None = None
    id: UUID | None = None


async def _store_of(request: Request) -> ObjectStore:
    return cast("ObjectStore", request.app.state.store)


async def _settings_of(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def _clusters_of(request: Request) -> Mapping[str, ClusterClient]:
    return cast("Mapping[str, ClusterClient]", request.app.state.clusters)


async def _limits_of(request: Request) -> Limits:
    return cast("Limits", request.app.state.limits)


LimitsOf = Annotated[Limits, Depends(_limits_of)]
Store = Annotated[ObjectStore, Depends(_store_of)]
Configured = Annotated[Settings, Depends(_settings_of)]
Clusters = Annotated[Mapping[str, ClusterClient], Depends(_clusters_of)]
"""The clusters by their names."""
PageOf = Annotated[Page, Query()]
SliceOf = Annotated[Slice, Query()]
