"""What routes ask FastAPI for: who is signed in, the settings, the neighbours, a page."""

from typing import Annotated, cast

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from brightrun.api.errors import WrongScope
from brightrun.api.models import ALL_SCOPES, User
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


async def _user(needed: SecurityScopes, token: Token, pool: Db) -> User:
    """Whose token it is; refuses one that may not do what the route needs."""
    user, granted = await accounts.find_session_user(pool, digest(token)), ALL_SCOPES
    if user is None:
        raise Unauthorized
    if missing := set(needed.scopes) - granted:
        raise WrongScope({"needed": sorted(missing)})
    return user


Reader = Annotated[User, Security(_user, scopes=["read"])]
"""Who asks to see something; every token may."""

Trainer = Annotated[User, Security(_user, scopes=["train"])]
"""Who asks to change something of their own: data sets, jobs, models."""

Holder = Annotated[User, Security(_user, scopes=["admin"])]
"""Who manages the account itself: keys, password, webhooks."""


def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


def _neighbours(request: Request) -> Neighbours:
    return cast("Neighbours", request.app.state.neighbours)


Configured = Annotated[Settings, Depends(_settings)]
Others = Annotated[Neighbours, Depends(_neighbours)]

Page = Annotated[int, Query(ge=1, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=100)]
