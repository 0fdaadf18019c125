"""What routes ask FastAPI for: who is signed in, the settings, the neighbours, a page."""

from typing import Annotated, cast

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from brightrun.api.models import User
from brightrun.api.neighbours import Neighbours
from brightrun.api.queries import accounts
from brightrun.api.rules.sessions import digest
from brightrun.api.settings import Settings
from brightrun.runtime.errors import Unauthorized
from brightrun.runtime.http import Db

_bearer = HTTPBearer(auto_error=False, description="The token that register and login answer with")


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    if credentials is None:
        raise Unauthorized
    return credentials.credentials


Token = Annotated[str, Depends(_token)]
"""The bearer token as it was sent."""


async def _signed_in(token: Token, pool: Db) -> User:
    user = await accounts.find_session_user(pool, digest(token))
    if user is None:
        raise Unauthorized
    return user


SignedIn = Annotated[User, Depends(_signed_in)]
"""The user who sends the request; a route without this parameter is open to everybody."""


def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


def _neighbours(request: Request) -> Neighbours:
    return cast("Neighbours", request.app.state.neighbours)


Configured = Annotated[Settings, Depends(_settings)]
Others = Annotated[Neighbours, Depends(_neighbours)]

Page = Annotated[int, Query(ge=1, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=100)]
