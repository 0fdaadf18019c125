"""Sign-in with the identity provider.

A client, such as the pages, makes a verifier and sends the browser to `GET /auth/oidc` with its challenge (RFC 7636,
S256). The browser signs in, comes by the callback and goes on to the client's page with a code, for which the client
fetches the token with the verifier: so the code is of no use to anybody else, and nobody can be signed in to
somebody else's account.
"""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Cookie, Query, Request
from fastapi.responses import RedirectResponse
from httpx import URL
from pydantic import ValidationError

from brightrun.api.actions import accounts, identities
from brightrun.api.clients import Clients
from brightrun.api.errors import (
    NoIdentityProvider,
    SignInBroken,
    SignInRefused,
    WrongCode,
)
from brightrun.api.identity_provider import IdentityProvider
from brightrun.api.queries import sessions
from brightrun.api.routes.accounts import UserAgent
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Configured, Others, Visitor
from brightrun.api.routes.refusals import refuses
from brightrun.api.rules import flows
from brightrun.api.rules.flows import Flow
from brightrun.api.rules.sessions import digest
from brightrun.api.schemas.accounts import SignedInAccount, UserView
from brightrun.api.schemas.oidc import Claims, FetchToken
from brightrun.api.settings import Settings
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import ServiceError
from brightrun.runtime.http import Envelope

log = structlog.get_logger()

router = APIRouter(
    prefix="/auth/oidc", tags=["accounts"], route_class=BoundedRoute, responses=refuses(NoIdentityProvider)
)

COOKIE = "brightrun_oidc"
PATH = "/api/auth/oidc"

Challenge = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{43}$", description="S256 of the verifier")]
Told = Annotated[str, Query(max_length=4096)]


@router.get("", status_code=303, response_class=RedirectResponse, summary="Go and sign in")
async def begin_oidc(
    request: Request, challenge: Challenge, _: Visitor, settings: Configured, others: Others
) -> RedirectResponse:
    """Sends the browser to the identity provider, with a cookie that lets this one come back, for ten minutes."""
    provider = _provider(others)
    flow = flows.begin(settings.service_secret.get_secret_value(), challenge, utc_now())
    answer = RedirectResponse(await provider.sign_in_url(flow, _callback(request)), 303)
    answer.set_cookie(
        COOKIE,
        flow.cookie,
        max_age=int(flows.LIFETIME.total_seconds()),
        path=PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get("/callback", status_code=303, response_class=RedirectResponse, summary="Come back from signing in")
async def finish_oidc(
    request: Request,
    _: Visitor,
    pool: Db,
    settings: Configured,
    others: Others,
    *,
    state: Told = "",
    code: Told = "",
    error: Told = "",
    iss: Told = "",
    cookie: Annotated[str, Cookie(alias=COOKIE, include_in_schema=False)] = "",
) -> RedirectResponse:
    """Sends the browser on to the client's page with `code`, or with the code of what is wrong as `error`."""
    provider = _provider(others)
    flow = flows.resume(settings.service_secret.get_secret_value(), cookie, state, utc_now())
    try:
        if flow is None or iss not in ("", provider.issuer):
            raise SignInBroken
        if error or not code:
            raise SignInRefused(error)
        who = _read(await provider.redeem(flow, code, _callback(request)))
        told = {"code": await _admit(pool, settings, who, flow)}
    except ServiceError as refused:
        log.warning("sign_in.refused", code=refused.code, details=refused.details)
        told = {"error": refused.code}
    answer = RedirectResponse(str(URL(settings.oidc_return_url).copy_merge_params(told)), 303)
    answer.delete_cookie(COOKIE, PATH)
    return answer


@router.post("/token", summary="Fetch the token of a sign-in", responses=refuses(WrongCode))
async def fetch_token(
    body: FetchToken, _: Visitor, pool: Db, settings: Configured, user_agent: UserAgent = ""
) -> Envelope[SignedInAccount]:
    """A code is good for two minutes, and once."""
    async with transaction(pool) as conn:
        user = await sessions.take_code(conn, digest(body.code), flows.challenge_of(body.verifier))
        if user is None:
            raise WrongCode
        token = await accounts.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=SignedInAccount(user=UserView.model_validate(user), token=token))


async def _admit(pool: Pool, settings: Settings, who: Claims, flow: Flow) -> str:
    async with transaction(pool) as conn:
        user = await identities.admit(
            conn, settings.oidc_issuer, who, settings.email_domains, signup_open=settings.signup_open
        )
        return await identities.issue_code(conn, user, flow.challenge)


def _provider(others: Clients) -> IdentityProvider:
    if others.identity_provider is None:
        raise NoIdentityProvider
    return others.identity_provider


def _callback(request: Request) -> str:
    return str(request.url_for(finish_oidc.__name__))


def _read(claims: dict[str, Any]) -> Claims:
    try:
        return Claims.model_validate(claims)
    except ValidationError as error:
        raise SignInRefused([problem["msg"] for problem in error.errors()]) from None
