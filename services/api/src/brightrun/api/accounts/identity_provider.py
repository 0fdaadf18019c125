"""Client of an OpenID provider."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
import jwt
import structlog

from brightrun.api.accounts import openid
from brightrun.api.accounts.openid import AuthorizationRequest, Untrusted
from brightrun.api.errors import SignInBroken, SignInRefused
from brightrun.api.settings import Settings
from brightrun.runtime.errors import Unauthorized, Unavailable

log = structlog.get_logger()
SCOPE = "openid email profile"
TIMEOUT_SECONDS = 5.0
Claims = dict[str, Any]


class IdentityProvider:
    """Raises Unavailable if it does not answer, Unauthorized for tokens that it did not issue for this gateway.

    `cache_seconds`: how long the provider's metadata and keys are cached. `pause_seconds`: the shortest time between
    two fetches, however many tokens have unknown keys.
    """

    cache_seconds = 3600.0
    pause_seconds = 10.0

    def __init__(self, settings: Settings) -> None:
        self.issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret.get_secret_value()
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)
        self._metadata: dict[str, Any] = {}
        self._keys: list[jwt.PyJWK] = []
        self._tried_at = self._refreshed_at = -math.inf
        self._refreshing = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in_url(self, authorization: AuthorizationRequest, redirect_uri: str) -> str:
        """The URL of the sign-in page."""
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": authorization.state,
            "nonce": authorization.nonce,
            "code_challenge": openid.challenge_of(authorization.verifier),
            "code_challenge_method": "S256",
        }
        endpoint = (await self._discover())["authorization_endpoint"]
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def redeem(self, authorization: AuthorizationRequest, code: str, redirect_uri: str) -> Claims:
        """The claims of the user who has signed in, in exchange for the code."""
        tokens = await self._fetch_tokens(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": authorization.verifier,
            }
        )
        claims = await self.verify(str(tokens.get("id_token")))
        if claims.get("nonce") != authorization.nonce or claims.get("azp", self._client_id) != self._client_id:
            raise SignInBroken
        if "email" not in claims and "userinfo_endpoint" in self._metadata:
            claims |= await self._fetch_user_info(tokens, claims["sub"])
        return claims

    async def verify(self, token: str) -> Claims:
        """The claims of a token that the provider issued for this gateway."""
        try:
            kid = openid.key_id(token)
            key = await self._find_key(kid)
            if key is None:
                raise Untrusted("the key is unknown")
            return openid.verify_id_token(token, key, self.issuer, self._client_id)
        except Untrusted as error:
            raise Unauthorized(str(error)) from None

    async def _find_key(self, kid: str | None) -> jwt.PyJWK | None:
        await self._discover()
        if openid.choose_key(self._keys, kid) is None:
            await self._refresh()
        return openid.choose_key(self._keys, kid)

    async def _discover(self) -> dict[str, Any]:
        if time.monotonic() - self._refreshed_at > self.cache_seconds:
            await self._refresh()
        if not self._metadata:
            raise Unavailable("the identity provider does not answer")
        return self._metadata

    async def _refresh(self) -> None:
        """Fetch the provider's metadata and keys; on errors the cached ones stay."""
        async with self._refreshing:
            now = time.monotonic()
            if now - self._tried_at < self.pause_seconds:
                return
            self._tried_at = now
            try:
                metadata = await self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if metadata["issuer"] != self.issuer:
                    raise ValueError(f"the provider's issuer is {metadata['issuer']}")
                if missing := {"authorization_endpoint", "token_endpoint"} - metadata.keys():
                    raise ValueError(f"the provider's metadata lacks {' and '.join(sorted(missing))}")
                keys = jwt.PyJWKSet.from_dict(await self._get(metadata["jwks_uri"])).keys
            except (httpx.HTTPError, jwt.PyJWTError, ValueError, LookupError, TypeError) as error:
                log.warning("identity_provider.unavailable", error=repr(error))
                return
            self._metadata, self._keys, self._refreshed_at = metadata, keys, now

    async def _get(self, url: str, **headers: str) -> dict[str, Any]:
        return _object((await self._http.get(url, headers=headers)).raise_for_status())

    async def _fetch_tokens(self, form: dict[str, str]) -> dict[str, Any]:
        metadata = await self._discover()
        auth = httpx.Auth()
        if not self._client_secret:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            auth = httpx.BasicAuth(quote_plus(self._client_id), quote_plus(self._client_secret))
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        try:
            response = await self._http.post(metadata["token_endpoint"], data=form, auth=auth)
            tokens = _object(response)
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable("the identity provider does not answer") from error
        if not response.is_success:
            raise SignInRefused(tokens.get("error"))
        return tokens

    async def _fetch_user_info(self, tokens: dict[str, Any], subject: str) -> Claims:
        try:
            document: Claims = await self._get(
                self._metadata["userinfo_endpoint"], authorization=f"Bearer {tokens.get('access_token')}"
            )
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable("the identity provider does not answer") from error
        if document.get("sub") != subject:
            raise SignInBroken
        return {name: document[name] for name in ("email", "email_verified", "name") if name in document}


def _object(response: httpx.Response) -> dict[str, Any]:
    document = response.json()
    if not isinstance(document, dict):
        raise ValueError("the provider's response is no JSON object")
    return document


@asynccontextmanager
async def open_identity_provider(settings: Settings) -> AsyncIterator[IdentityProvider | None]:
    """The provider of the settings, closed when the block ends; None if none is set."""
    provider = IdentityProvider(settings) if settings.oidc_issuer else None
    try:
        yield provider
    finally:
        if provider:
            await provider.close()
