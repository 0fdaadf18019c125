"""What routes ask FastAPI for: who is signed in, the settings, the peer services, a page."""

from typing import Annotated, cast

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from brightrun.api.access import Grant
from brightrun.api.clients import Clients
from brightrun.api.errors import AdminOnly, WrongScope
from brightrun.api.identity_provider import IdentityProvider
from brightrun.api.models import User
from brightrun.api.queries import grants
from brightrun.api.rates import Rates
from brightrun.api.rules.networks import network_of
from brightrun.api.rules.sessions import KEY, SESSION, digest
from brightrun.api.settings import Settings
from brightrun.runtime.database import Db, Pool
from brightrun.runtime.errors import Unauthorized


async def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def _clients(request: Request) -> Clients:
    return cast("Clients", request.app.state.clients)


async def _rates(request: Request) -> Rates:
    return cast("Rates", request.app.state.rates)


Configured = Annotated[Settings, Depends(_settings)]
Others = Annotated[Clients, Depends(_clients)]
RateLimits = Annotated[Rates, Depends(_rates)]


async def _network(request: Request) -> str:
    return network_of(request.client.host if request.client else "")


Network = Annotated[str, Depends(_network)]
"""Where the caller comes from."""


async def _visitor(network: Network, rates: RateLimits) -> str:
    rates.anonymous.spend(network)
    return network


Visitor = Annotated[str, Depends(_visitor)]
"""Where somebody comes from who needs no token, but may not ask too often; every open route asks for it."""

_bearer = HTTPBearer(auto_error=False, description="A token of register or login, or an API key")


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    if credentials is None:
        raise Unauthorized
    return credentials.credentials


Token = Annotated[str, Depends(_token)]
"""The bearer token as it was sent."""


async def _grant(
    needed: SecurityScopes, request: Request, token: Token, *, pool: Db, others: Others, rates: RateLimits
) -> Grant:
    """What the token lets its sender do; refuses one that is unknown, sent too often, or too weak for the route."""
    token_sha256 = digest(token)
    rates.of(request.method).spend(token_sha256)
    try:
        grant = await _find_grant(pool, others.identity_provider, token, token_sha256)
    except Unauthorized:
        rates.anonymous.spend(await _network(request))
        raise
    if missing := set(needed.scopes) - grant.scopes:
        raise WrongScope({"needed": sorted(missing)})
    return grant


async def _find_grant(pool: Pool, provider: IdentityProvider | None, token: str, token_sha256: bytes) -> Grant:
    grant = None
    if token.startswith(SESSION):
        grant = await grants.find_by_session(pool, token_sha256)
    elif token.startswith(KEY):
        grant = await _use_key(pool, token_sha256)
    elif provider:
        claims = await provider.verify(token)
        grant = await grants.find_by_identity(pool, provider.issuer, claims["sub"])
    if grant is None:
        raise Unauthorized
    return grant


async def _use_key(pool: Pool, key_sha256: bytes) -> Grant | None:
    found = await grants.find_by_key(pool, key_sha256)
    if found is None:
        return None
    grant, rested = found
    if rested:
        await grants.mark_used(pool, key_sha256)
    return grant


ReaderGrant = Annotated[Grant, Security(_grant, scopes=["read"])]
HolderGrant = Annotated[Grant, Security(_grant, scopes=["admin"])]
"""Instead of `Reader` and `Holder`, where more is needed than the user; beside them the token would count twice."""


async def _user(grant: Annotated[Grant, Depends(_grant)]) -> User:
    return grant.user


Reader = Annotated[User, Security(_user, scopes=["read"])]
"""Who asks to see something; every token may."""

Trainer = Annotated[User, Security(_user, scopes=["train"])]
"""Who asks to change something of their own: data sets, jobs, models."""

Holder = Annotated[User, Security(_user, scopes=["admin"])]
"""Who manages the account itself: keys, password, webhooks."""


async def _admin(user: Holder) -> User:
    if user.role != "admin":
        raise AdminOnly
    return user


Admin = Annotated[User, Depends(_admin)]
"""Who runs the installation; a key may only if it has the scope `admin` as well."""

Page = Annotated[int, Query(ge=1, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=100)]
