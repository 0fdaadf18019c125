"""Dependencies of routes that need a token: whom it belongs to, and what its scopes allow."""

from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from brightrun.api.accounts.errors import AdminOnly
from brightrun.api.accounts.identity_provider import IdentityProvider
from brightrun.api.accounts.models import Grant, User
from brightrun.api.accounts.queries import tokens
from brightrun.api.accounts.rules import KEY, SESSION, digest
from brightrun.api.http.errors import WrongScope
from brightrun.api.http.parameters import CallerLimits, caller_network
from brightrun.runtime.database import Db, Pool
from brightrun.runtime.errors import Unauthorized


async def _identity_provider(request: Request) -> IdentityProvider | None:
    return cast("IdentityProvider | None", request.app.state.identity_provider)


Provider = Annotated[IdentityProvider | None, Depends(_identity_provider)]

_bearer = HTTPBearer(auto_error=False, description="A token of register or login, or an API key")


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    if credentials is None:
        raise Unauthorized
    return credentials.credentials


Token = Annotated[str, Depends(_token)]
"""The bearer token as it was sent."""


async def _grant(
    needed: SecurityScopes,
    request: Request,
    token: Token,
    *,
    pool: Db,
    provider: Provider,
    rates: CallerLimits,
) -> Grant:
    """What the token allows. Raises Unauthorized, RateLimited, and WrongScope if the route needs more."""
    token_sha256 = digest(token)
    rates.of(request.method).spend(token_sha256)
    try:
        grant = await _find_grant(pool, provider, token, token_sha256)
    except Unauthorized:
        rates.anonymous.spend(await caller_network(request))
        raise
    if missing := set(needed.scopes) - grant.scopes:
        raise WrongScope({"needed": sorted(missing)})
    return grant


async def _find_grant(pool: Pool, provider: IdentityProvider | None, token: str, token_sha256: bytes) -> Grant:
    grant = None
    if token.startswith(SESSION):
        grant = await tokens.find_by_session(pool, token_sha256)
    elif token.startswith(KEY):
        grant = await _use_key(pool, token_sha256)
    elif provider:
        claims = await provider.verify(token)
        grant = await tokens.find_by_identity(pool, provider.issuer, claims["sub"])
    if grant is None:
        raise Unauthorized
    return grant


async def _use_key(pool: Pool, key_sha256: bytes) -> Grant | None:
    found = await tokens.find_by_key(pool, key_sha256)
    if found is None:
        return None
    grant, rested = found
    if rested:
        await tokens.mark_used(pool, key_sha256)
    return grant


ReaderGrant = Annotated[Grant, Security(_grant, scopes=["read"])]
OwnerGrant = Annotated[Grant, Security(_grant, scopes=["admin"])]
"""Instead of `Reader` and `Owner`, where more is needed than the user; beside them the token would count twice."""


async def _user(grant: Annotated[Grant, Depends(_grant)]) -> User:
    return grant.user


Reader = Annotated[User, Security(_user, scopes=["read"])]
"""Who asks to see something; every token may."""
Trainer = Annotated[User, Security(_user, scopes=["train"])]
"""Who asks to change something of their own: data sets, jobs, models."""
Owner = Annotated[User, Security(_user, scopes=["admin"])]
"""Who manages the account itself: keys, password, webhooks."""


async def _admin(user: Owner) -> User:
    if user.role != "admin":
        raise AdminOnly
    return user


Admin = Annotated[User, Depends(_admin)]
"""Who runs the installation; a key may only if it has the scope `admin` as well."""
