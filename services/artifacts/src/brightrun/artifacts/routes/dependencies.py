"""What the routes are given."""

from typing import Annotated, cast

from fastapi import Depends, Query, Request

from brightrun.artifacts.schemas.pages import Page, Slice
from brightrun.artifacts.settings import Settings
from brightrun.artifacts.storage import ObjectStore


async def _store_of(request: Request) -> ObjectStore:
    return cast("ObjectStore", request.app.state.store)


async def _settings_of(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


Store = Annotated[ObjectStore, Depends(_store_of)]
Configured = Annotated[Settings, Depends(_settings_of)]
PageOf = Annotated[Page, Query()]
SliceOf = Annotated[Slice, Query()]
