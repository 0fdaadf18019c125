"""Dependencies of routes that need a token: whom it belongs to, and what its scopes allow."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from brightrun.api.accounts import token_queries as tokens
from brightrun.api.accounts.identity_provider import IdentityProvider
from brightrun.api.accounts.models import Grant, User
from brightrun.api.accounts.passwords import Passwords
from brightrun.api.accounts.rules import KEY, SESSION, digest
from brightrun.api.errors import AdminOnly, WrongScope
from brightrun.api.http.parameters import caller_network, from_state
from brightrun.runtime.database import Pool
from brightrun.runtime.errors import Unauthorized

Provider = Annotated[IdentityProvider | None, from_state("identity_provider")]
AppPasswords = Annotated[Passwords, from_state("passwords")]


class Authentication(SecurityBase):
    """The bearer token of a request as a dependency. Each dependency costs as much as a small query, so it is one."""

    def __init__(self) -> None:
        self.model = HTTPBearerModel(description="A token of register or login, or an API key")
        self.scheme_name = "HTTPBearer"

    async def __call__(self, needed: SecurityScopes, request: Request) -> Grant:
        """What the token allows. Raises Unauthorized, RateLimited, and WrongScope if the route needs more."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized
        rates, token_sha256 = request.app.state.rates, digest(token)
        rates.of(request.method).spend(token_sha256)
        try:
            grant = await _find_grant(request, token, token_sha256)
        except Unauthorized:
            rates.anonymous.spend(await caller_network(request))
            raise
        if missing := set(needed.scopes) - grant.scopes:
            raise WrongScope({"needed": sorted(missing)})
        return grant


class UserAuthentication(Authentication):
    """The user of the token."""

    async def __call__(self, needed: SecurityScopes, request: Request) -> User:  # type: ignore[override]
        """The same for routes that need the user only."""
        return (await super().__call__(needed, request)).user


async def _find_grant(request: Request, token: str, token_sha256: bytes) -> Grant:
    pool, provider, grant = request.app.state.pool, request.app.state.identity_provider, None
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


_grant, _user = Authentication(), UserAuthentication()
ReaderGrant = Annotated[Grant, Security(_grant, scopes=["read"])]
OwnerGrant = Annotated[Grant, Security(_grant, scopes=["admin"])]
"""Instead of `Reader` and `Owner`, for routes that need the grant; beside them the token would count twice."""
Reader = Annotated[User, Security(_user, scopes=["read"])]
"""Who reads; every token may."""
Trainer = Annotated[User, Security(_user, scopes=["train"])]
"""Who changes data sets, jobs and models."""
Owner = Annotated[User, Security(_user, scopes=["admin"])]
"""Who manages the account: keys, password, webhooks."""


async def _admin(user: Owner) -> User:
    if user.role != "admin":
        raise AdminOnly
    return user


Admin = Annotated[User, Depends(_admin)]
"""An admin of the installation, whose token has the scope `admin`."""
