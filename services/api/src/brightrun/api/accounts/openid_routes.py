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

from brightrun.api import errors
from brightrun.api.accounts import actions, openid
from brightrun.api.accounts import token_queries as tokens
from brightrun.api.accounts.authentication import Provider
from brightrun.api.accounts.identity_provider import IdentityProvider
from brightrun.api.accounts.openid import AuthorizationRequest
from brightrun.api.accounts.routes import UserAgent
from brightrun.api.accounts.rules import digest
from brightrun.api.accounts.schemas import Claims, FetchToken, SignedInAccount
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Anonymous, AppSettings
from brightrun.api.settings import Settings
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import ServiceError
from brightrun.runtime.http import BoundedRoute, Envelope

log = structlog.get_logger()
router = APIRouter(
    prefix="/auth/oidc",
    tags=["accounts"],
    route_class=BoundedRoute,
    responses=error_responses(errors.NoIdentityProvider),
)
COOKIE = "brightrun_oidc"
PATH = "/api/auth/oidc"
Challenge = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{43}$", description="S256 of the verifier")]
CallbackParameter = Annotated[str, Query(max_length=4096)]


@router.get("", status_code=303, response_class=RedirectResponse, summary="Go and sign in")
async def begin_oidc(
    request: Request, challenge: Challenge, _: Anonymous, settings: AppSettings, provider: Provider
) -> RedirectResponse:
    """Sends the browser to the identity provider, with a cookie that lets this one come back, for ten minutes."""
    provider = _require(provider)
    authorization = openid.begin_authorization(settings.service_secret.get_secret_value(), challenge, utc_now())
    answer = RedirectResponse(await provider.sign_in_url(authorization, _callback(request)), 303)
    answer.set_cookie(
        COOKIE,
        authorization.cookie,
        max_age=int(openid.LIFETIME.total_seconds()),
        path=PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get("/callback", status_code=303, response_class=RedirectResponse, summary="Come back from signing in")
async def finish_oidc(
    request: Request,
    _: Anonymous,
    pool: Db,
    settings: AppSettings,
    provider: Provider,
    *,
    state: CallbackParameter = "",
    code: CallbackParameter = "",
    error: CallbackParameter = "",
    iss: CallbackParameter = "",
    cookie: Annotated[str, Cookie(alias=COOKIE, include_in_schema=False)] = "",
) -> RedirectResponse:
    """Sends the browser on to the client's page with `code`, or with the code of what is wrong as `error`."""
    provider = _require(provider)
    authorization = openid.resume_authorization(settings.service_secret.get_secret_value(), cookie, state, utc_now())
    try:
        if authorization is None or iss not in ("", provider.issuer):
            raise errors.SignInBroken
        if error or not code:
            raise errors.SignInRefused(error)
        who = _read(await provider.redeem(authorization, code, _callback(request)))
        result = {"code": await _admit(pool, settings, who, authorization)}
    except ServiceError as refused:
        log.warning("sign_in.refused", code=refused.code, details=refused.details)
        result = {"error": refused.code}
    answer = RedirectResponse(str(URL(settings.oidc_return_url).copy_merge_params(result)), 303)
    answer.delete_cookie(COOKIE, PATH)
    return answer


@router.post("/token", summary="Fetch the token of a sign-in", responses=error_responses(errors.WrongCode))
async def fetch_token(
    body: FetchToken, _: Anonymous, pool: Db, settings: AppSettings, user_agent: UserAgent = ""
) -> Envelope[SignedInAccount]:
    """A code is good for two minutes, and once."""
    async with transaction(pool) as conn:
        user = await tokens.take_code(conn, digest(body.code), openid.challenge_of(body.verifier))
        if user is None:
            raise errors.WrongCode
        token = await actions.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=SignedInAccount(user=user, token=token))


async def _admit(pool: Pool, settings: Settings, who: Claims, authorization: AuthorizationRequest) -> str:
    async with transaction(pool) as conn:
        user = await actions.admit(
            conn, settings.oidc_issuer, who, settings.email_domains, signup_open=settings.signup_open
        )
        return await actions.issue_code(conn, user, authorization.challenge)


def _require(provider: IdentityProvider | None) -> IdentityProvider:
    if provider is None:
        raise errors.NoIdentityProvider
    return provider


def _callback(request: Request) -> str:
    return str(request.url_for(finish_oidc.__name__))


def _read(claims: dict[str, Any]) -> Claims:
    try:
        return Claims.model_validate(claims)
    except ValidationError as error:
        raise errors.SignInRefused([problem["msg"] for problem in error.errors()]) from None
