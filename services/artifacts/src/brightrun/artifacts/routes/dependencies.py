"""What the routes are given."""

from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import Depends, Query, Request

from brightrun.artifacts.schemas.pages import Page, Slice
from brightrun.artifacts.settings import Settings
from brightrun.artifacts.storage import ObjectStore
from brightrun.cluster_client.client import ClusterClient


async def _store_of(request: Request) -> ObjectStore:
    return cast("ObjectStore", request.app.state.store)


async def _settings_of(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def _clusters_of(request: Request) -> Mapping[str, ClusterClient]:
    return cast("Mapping[str, ClusterClient]", request.app.state.clusters)


Store = Annotated[ObjectStore, Depends(_store_of)]
Configured = Annotated[Settings, Depends(_settings_of)]
Clusters = Annotated[Mapping[str, ClusterClient], Depends(_clusters_of)]
"""The clusters by their names."""
PageOf = Annotated[Page, Query()]
SliceOf = Annotated[Slice, Query()]
