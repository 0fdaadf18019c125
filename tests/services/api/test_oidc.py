"""Sign-in with an OpenID provider: a real one, and one that tries everything."""

import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from pydantic import SecretStr

from brightrun.api.accounts.openid import challenge_of
from brightrun.api.settings import Settings
from brightrun.runtime.database import Pool
from tests.services.api.conftest import PASSWORD, client_of, gateway
from tests.services.api.issuer import CLIENT_ID, CLIENT_SECRET, FakeIssuer, b64, forged, real_issuer
from tests.services.slices import serve

VERIFIER = "a-verifier-of-the-pages-that-is-long-enough-for-it"
BEGIN = f"/api/auth/oidc?challenge={challenge_of(VERIFIER)}"
RETURN = "http://localhost:8080/oidc?from=provider"


@pytest_asyncio.fixture(scope="session")
async def real() -> AsyncIterator[str]:
    async with real_issuer() as url:
        yield url


@pytest_asyncio.fixture(scope="session")
async def fake_issuer() -> AsyncIterator[FakeIssuer]:
    fake = FakeIssuer()
    async with serve(fake.app) as fake.url:
        yield fake


@pytest.fixture
def fake(fake_issuer: FakeIssuer) -> FakeIssuer:
    fake_issuer.reset()
    return fake_issuer


@pytest_asyncio.fixture
async def trusting(pool: Pool, settings: Settings) -> AsyncIterator[Callable[..., Any]]:
    """Gives a gateway that trusts an issuer."""
    async with AsyncExitStack() as stack:

        async def open_gateway(issuer: str, **more: object) -> FastAPI:
            oidc = {
                "oidc_issuer": issuer,
                "oidc_client_id": CLIENT_ID,
                "oidc_client_secret": SecretStr(CLIENT_SECRET),
                "oidc_return_url": RETURN,
            }
            return await stack.enter_async_context(gateway(pool, settings.model_copy(update=oidc | more)))

        yield open_gateway


class Browser:
    """A visitor of the gateway who keeps cookies."""

    def __init__(self, app: FastAPI) -> None:
        self.http = client_of(app)

    async def begin(self) -> httpx.URL:
        """Where the gateway sends the browser to sign in."""
        answer = await self.http.get(BEGIN)
        assert answer.status_code == 303, answer.text
        return httpx.URL(answer.headers["location"])

    async def come_back(self, url: httpx.URL | str) -> dict[str, str]:
        """What the gateway tells the client's page after the browser has come back."""
        answer = await self.http.get(url)
        assert answer.status_code == 303, answer.text
        location = httpx.URL(answer.headers["location"])
        assert str(location).startswith(f"{RETURN}&")
        return {name: value for name, value in location.params.items() if name != "from"}

    async def fetch(self, code: str, verifier: str = VERIFIER) -> httpx.Response:
        """What the client gets for a code."""
        return await self.http.post("/api/auth/oidc/token", json={"code": code, "verifier": verifier})


async def sign_in_really(browser: Browser, real: str, sub: str, **claims: Any) -> dict[str, str]:
    async with httpx.AsyncClient() as http:
        assert (await http.put(f"{real}/users/{sub}", json=claims)).status_code == 204
        allowed = await http.post(await browser.begin(), data={"sub": sub})
    return await browser.come_back(allowed.headers["location"])


async def sign_in(browser: Browser, fake: FakeIssuer, **changes: Any) -> dict[str, str]:
    """The same with the fake, whose ID token has these claims beside the fine ones."""
    sent = (await browser.begin()).params
    fake.challenge = sent["code_challenge"]
    fake.claims = {"nonce": sent["nonce"], "email": "ada@example.com", "email_verified": True} | changes
    return await browser.come_back(f"{sent['redirect_uri']}?code=c&state={sent['state']}")


async def test_a_user_of_a_real_provider_gets_an_account_and_a_session(trusting, real: str, pool: Pool):
    app = await trusting(real)
    browser = Browser(app)
    returned = await sign_in_really(browser, real, "s1", email="Ada@Example.com", email_verified=True, name="Ada")
    account = (await browser.fetch(returned["code"])).json()["data"]

    assert (account["user"]["email"], account["user"]["name"]) == ("ada@example.com", "Ada")
    assert account["user"]["role"] == "admin"  # the first of the installation
    async with client_of(app, account["token"]) as user:
        assert (await user.get("/api/auth/me")).json()["data"]["user"] == account["user"]
        assert (await user.get("/api/keys")).status_code == 200

    again = await sign_in_really(Browser(app), real, "s1", email="other@example.com", email_verified=True)
    assert (await browser.fetch(again["code"])).json()["data"]["user"] == account["user"]
    assert await pool.fetchval("SELECT count(*) FROM users") == 1


async def test_a_real_providers_id_token_is_a_bearer_token_that_manages_no_account(trusting, real: str):
    app = await trusting(real)
    browser = Browser(app)
    returned = await sign_in_really(browser, real, "s2", email="ada@example.com", email_verified=True)
    assert "code" in returned
    async with httpx.AsyncClient() as http:
        query = {"client_id": CLIENT_ID, "response_type": "code", "redirect_uri": "http://cli", "scope": "openid"}
        allowed = await http.post(f"{real}/oauth2/authorize", params=query | {"nonce": "n"}, data={"sub": "s2"})
        form = {"grant_type": "authorization_code", "redirect_uri": "http://cli"}
        code = httpx.URL(allowed.headers["location"]).params["code"]
        tokens = (await http.post(f"{real}/oauth2/token", data=form | {"code": code}, auth=(CLIENT_ID, "x"))).json()

    async with client_of(app, tokens["id_token"]) as user:
        assert (await user.get("/api/auth/me")).json()["data"]["user"]["email"] == "ada@example.com"
        assert (await user.get("/api/keys")).json()["code"] == "wrong_scope"
    async with client_of(app, tokens["access_token"]) as user:  # opaque, so it tells nothing
        assert (await user.get("/api/auth/me")).status_code == 401


async def test_who_does_not_agree_at_a_real_provider_is_not_signed_in(trusting, real: str):
    browser = Browser(await trusting(real))
    where = await browser.begin()
    async with httpx.AsyncClient() as http:
        denied = await http.post(where, data={"action": "deny"})
    back = httpx.URL(denied.headers["location"]).copy_merge_params({"state": where.params["state"]})

    assert await browser.come_back(back) == {"error": "sign_in_refused"}


async def test_requests_to_the_provider_follow_the_standards(trusting, fake: FakeIssuer):
    browser = Browser(await trusting(fake.url))
    where = await browser.begin()

    assert str(where).startswith(f"{fake.url}/authorize?tenant=a&")
    sent = dict(where.params)
    secrets = {sent.pop(name) for name in ("state", "nonce", "code_challenge")}
    assert len(secrets) == 3
    assert {len(secret) for secret in secrets} == {43}
    assert sent == {
        "tenant": "a",
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": "http://api/api/auth/oidc/callback",
        "scope": "openid email profile",
        "code_challenge_method": "S256",
    }
    cookie = (await browser.http.get(BEGIN)).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/api/auth/oidc;" in cookie


@pytest.mark.parametrize(
    ("secret", "methods", "authorization", "in_form"),
    [
        ("", ["client_secret_basic"], None, {"client_id"}),
        (CLIENT_SECRET, ["client_secret_basic", "client_secret_post"], "Basic YnJpZ2h0cnVuOnMrcCUyNmNl", set()),
        (CLIENT_SECRET, ["client_secret_post"], None, {"client_id", "client_secret"}),
    ],
)
async def test_the_code_is_redeemed_with_verifier_and_secret(
    trusting, fake: FakeIssuer, *, secret: str, methods: list[str], authorization: str | None, in_form: set[str]
):
    fake.auth_methods = methods
    returned = await sign_in(Browser(await trusting(fake.url, oidc_client_secret=SecretStr(secret))), fake)

    assert "code" in returned
    [form] = fake.redeemed
    assert form["authorization"] == authorization
    assert form.keys() - {"authorization"} == {"grant_type", "code", "redirect_uri", "code_verifier"} | in_form
    assert form["redirect_uri"] == "http://api/api/auth/oidc/callback"
    assert form.get("client_secret", secret) == secret


async def test_a_code_is_of_use_once_and_with_its_verifier_only(trusting, fake: FakeIssuer, pool: Pool):
    browser = Browser(await trusting(fake.url))
    code = (await sign_in(browser, fake))["code"]

    assert code not in str(await pool.fetch("SELECT sign_in_codes::text FROM sign_in_codes"))
    answers = [
        await browser.fetch(code, "b" * 43),
        await browser.fetch("brc_another"),
        await browser.fetch(code),
        await browser.fetch(code),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 200, 400]
    assert answers[3].json()["code"] == "wrong_code"

    late = (await sign_in(browser, fake))["code"]
    await pool.execute("UPDATE sign_in_codes SET expires_at = now()")
    assert (await browser.fetch(late)).status_code == 400


async def test_everything_wrong_with_a_request_is_named(trusting, fake: FakeIssuer):
    browser = Browser(await trusting(fake.url))
    begun = await browser.http.get("/api/auth/oidc?challenge=short")
    fetched = await browser.http.post("/api/auth/oidc/token", json={"code": "x" * 201, "verifier": "short"})

    assert (begun.status_code, begun.json()["details"].keys()) == (400, {"challenge"})
    assert (fetched.status_code, fetched.json()["details"].keys()) == (400, {"code", "verifier"})


async def test_a_sign_in_ends_in_the_browser_that_began_it(trusting, fake: FakeIssuer):
    app = await trusting(fake.url)
    sent = (await Browser(app).begin()).params
    callback = f"{sent['redirect_uri']}?code=c&state={sent['state']}"
    another = Browser(app)

    assert await another.come_back(callback) == {"error": "sign_in_broken"}  # has no cookie
    await another.begin()
    assert await another.come_back(callback) == {"error": "sign_in_broken"}  # has another
    assert fake.redeemed == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"nonce": "another"}, "sign_in_broken"),
        ({"nonce": None}, "sign_in_broken"),
        ({"azp": "another"}, "sign_in_broken"),
        ({"aud": "another"}, "unauthorized"),
        ({"iss": "https://another"}, "unauthorized"),
        ({"exp": 1}, "unauthorized"),
        ({"email_verified": False}, "email_not_verified"),
        ({"email_verified": None}, "email_not_verified"),
        ({"email_verified": "true"}, "email_not_verified"),
        ({"email": None, "email_verified": None}, "email_not_verified"),
        ({"email": "no address"}, "sign_in_refused"),
        ({"email": 7}, "sign_in_refused"),
        ({"sub": "a\x00b"}, "unauthorized"),
    ],
)
async def test_an_unverified_address_gets_no_account(
    trusting, fake: FakeIssuer, pool: Pool, change: dict[str, Any], error: str
):
    assert await sign_in(Browser(await trusting(fake.url)), fake, **change) == {"error": error}
    assert await pool.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("state={state}", "sign_in_refused"),
        ("state={state}&error=access_denied", "sign_in_refused"),
        ("state={state}&code=c&iss=https://another", "sign_in_broken"),
        ("code=c", "sign_in_broken"),
        ("code=c&state=%00", "sign_in_broken"),
    ],
)
async def test_an_invalid_callback_is_rejected(trusting, fake: FakeIssuer, query: str, error: str):
    browser = Browser(await trusting(fake.url))
    sent = (await browser.begin()).params

    assert await browser.come_back(f"{sent['redirect_uri']}?{query.format(**sent)}") == {"error": error}
    assert fake.redeemed == []


async def test_claims_missing_in_the_id_token_are_fetched(trusting, fake: FakeIssuer):
    browser = Browser(await trusting(fake.url))
    fake.user_info = {"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada", "aud": "x"}
    returned = await sign_in(browser, fake, email=None, email_verified=None)
    assert (await browser.fetch(returned["code"])).json()["data"]["user"]["name"] == "Ada"

    fake.user_info |= {"sub": "eve"}
    assert await sign_in(browser, fake, email=None) == {"error": "sign_in_broken"}


async def register(app: FastAPI, email: str) -> dict[str, Any]:
    async with client_of(app) as visitor:
        answer = await visitor.post("/api/auth/register", json={"email": email, "password": PASSWORD})
        return answer.json()["data"]


async def statuses(app: FastAPI, *tokens: str) -> list[int]:
    found = []
    for token in tokens:
        async with client_of(app, token) as user:
            found.append((await user.get("/api/auth/me")).status_code)
    return found


async def test_a_local_account_is_linked_and_others_who_know_it_are_locked_out(trusting, fake: FakeIssuer):
    app = await trusting(fake.url)
    await register(app, "admin@example.com")
    ada = await register(app, "ada@example.com")
    async with client_of(app, ada["token"]) as user:
        body = {"name": "laptop", "scopes": ["admin"]}
        key = (await user.post("/api/keys", json=body)).json()["data"]["key"]
    browser = Browser(app)
    assert await sign_in(browser, fake, email_verified=False) == {"error": "email_not_verified"}
    assert await statuses(app, ada["token"], key) == [200, 200]

    linked = (await browser.fetch((await sign_in(browser, fake))["code"])).json()["data"]
    assert linked["user"] == ada["user"]
    assert await statuses(app, linked["token"], ada["token"], key) == [200, 401, 401]
    login = await browser.http.post("/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD})
    assert login.status_code == 401
    async with client_of(app, linked["token"]) as user:
        change = {"old_password": PASSWORD, "new_password": PASSWORD}
        assert (await user.post("/api/auth/password", json=change)).json()["code"] == "no_password"


async def test_an_admin_is_linked_and_keeps_the_password(trusting, fake: FakeIssuer):
    app = await trusting(fake.url)
    admin = await register(app, "ada@example.com")
    assert "code" in await sign_in(Browser(app), fake)

    assert await statuses(app, admin["token"]) == [200]


@pytest.mark.parametrize(
    ("limits", "email", "returned"),
    [
        ({"signup_open": False}, "ada@example.com", "signup_closed"),
        ({"signup_open": False, "oidc_email_domains": "example.com"}, "ada@example.com", "code"),
        ({"oidc_email_domains": "Example.com, example.org"}, "ada@example.org", "code"),
        ({"oidc_email_domains": "example.com"}, "ada@example.org", "email_not_admitted"),
        ({"oidc_email_domains": "example.com"}, "ada@sub.example.com", "email_not_admitted"),
        ({"oidc_email_domains": "example.com"}, "ada@badexample.com", "email_not_admitted"),
    ],
)
async def test_settings_restrict_who_may_sign_in(
    trusting, fake: FakeIssuer, limits: dict[str, Any], email: str, returned: str
):
    answer = await sign_in(Browser(await trusting(fake.url, **limits)), fake, email=email)

    assert returned in (*answer, answer.get("error"))


async def test_domains_hold_for_who_has_been_here_before(trusting, fake: FakeIssuer):
    assert "code" in await sign_in(Browser(await trusting(fake.url)), fake)
    strict = Browser(await trusting(fake.url, oidc_email_domains="example.org"))

    assert await sign_in(strict, fake) == {"error": "email_not_admitted"}


async def test_a_disabled_account_is_disabled_here_too(trusting, fake: FakeIssuer, pool: Pool):
    app = await trusting(fake.url)
    browser = Browser(app)
    code = (await sign_in(browser, fake))["code"]
    await pool.execute("UPDATE users SET disabled_at = now()")

    assert (await browser.fetch(code)).status_code == 400
    assert await sign_in(browser, fake) == {"error": "account_disabled"}
    assert await statuses(app, fake.signed()) == [401]


@pytest_asyncio.fixture
async def known(trusting, fake: FakeIssuer) -> FastAPI:
    """A gateway where the fake's `ada` has an account."""
    app = await trusting(fake.url)
    assert "code" in await sign_in(Browser(app), fake)
    return app


def fine_tokens(fake: FakeIssuer) -> dict[str, str]:
    return {
        "RS256": fake.signed(),
        "ES256": fake.signed(fake.ec),
        "for us among others": fake.signed(aud=["another", CLIENT_ID]),
        "an access token": fake.signed(headers={"typ": "at+jwt"}),
        "a clock that is a little ahead": fake.signed(nbf=fake.claims_of()["iat"] + 10),
    }


def bad_tokens(fake: FakeIssuer) -> dict[str, str]:
    """Each attack of RFC 8725 and some more, on what would be a fine token."""
    now = fake.claims_of()["iat"]
    fine = fake.signed()
    header, payload, signature = fine.split(".")
    claims = fake.claims_of()
    pem = fake.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = fake.rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    eve = b64(json.dumps(claims | {"sub": "eve"}).encode())

    def hs256(secret: bytes, **more: Any) -> str:
        return forged({"alg": "HS256", "kid": "rsa"} | more, claims, lambda data: hmac.digest(secret, data, "sha256"))

    unsigned = {
        name: forged({"alg": name, "kid": "rsa"}, claims, lambda _: b"") for name in ("none", "None", "NONE", "")
    }
    kids = {
        f"kid {kid!r:.40}": fake.signed(headers={"kid": kid})
        for kid in ("unknown", "", "../../../../dev/null", "/dev/null", "rsa' OR '1'='1", f"{fake.url}/jwks", "\x00")
    }
    strange = {
        f"kid of type {type(kid).__name__}": forged({"alg": "RS256", "kid": kid}, claims, lambda _: b"x")
        for kid in (7, ["rsa"], {"rsa": 1}, True)
    }
    return unsigned | kids | strange | {
        "no kid where there are several keys": jwt.encode(claims, fake.rsa, "RS256"),
        "no algorithm": forged({"kid": "rsa"}, claims, lambda _: b"x"),
        "HS256 with the public key in PEM": hs256(pem),
        "HS256 with the public key in DER": hs256(der),
        "HS256 with the modulus": hs256(fake.keys[0]["n"].encode()),
        "HS256 with no secret": hs256(b""),
        "HS256 with the client's id": hs256(CLIENT_ID.encode()),
        "another's key": fake.signed(fake.stranger),
        "a key for encryption": fake.signed(fake.stranger, {"kid": "enc"}),
        "another's key brought along": fake.signed(fake.stranger, {"jwk": fake.public(fake.stranger, "rsa")}),
        "another's key elsewhere": fake.signed(fake.stranger, {"jku": "http://127.0.0.1:1/jwks"}),
        "the id of a key of another kind": fake.signed(headers={"kid": "ec"}),
        "RS512 with a key for RS256": jwt.encode(claims, fake.rsa, "RS512", {"kid": "rsa"}),
        "a logout token": fake.signed(headers={"typ": "logout+jwt"}),
        "an unknown critical header": fake.signed(headers={"crit": ["x"], "x": 1}),
        "for another": fake.signed(aud="another"),
        "for nobody": fake.signed(aud=None),
        "for ours in other letters": fake.signed(aud=CLIENT_ID.upper()),
        "by another": fake.signed(iss="https://another.example.com"),
        "by nobody": fake.signed(iss=None),
        "by one whose name begins alike": fake.signed(iss=f"{fake.url}/"),
        "expired": fake.signed(exp=now - 60),
        "never expires": fake.signed(exp=None),
        "expires some time": forged({"alg": "RS256", "kid": "rsa"}, claims | {"exp": "soon"}, lambda _: b"x"),
        "not yet valid": fake.signed(nbf=now + 120),
        "made in the future": fake.signed(iat=now + 120),
        "of nobody": fake.signed(sub=None),
        "of an unknown user": fake.signed(sub="eve"),
        "of no name": fake.signed(sub=""),
        "of a name that is none": fake.signed(sub="ada\x00"),
        "another payload": f"{header}.{eve}.{signature}",
        "no signature": f"{header}.{payload}.",
        "another signature": f"{header}.{payload}.{b64(b'x' * 256)}",
        "two parts": f"{header}.{payload}",
        "five parts": f"{header}.{payload}.{signature}.a.b",
        "too long": fake.signed(padding="x" * 16_384),
        "no token": "a.b.c",
        "dots": "..",
        "a deep header": f"{b64(b'[' * 9000)}.{payload}.{signature}",
        "a header that is a list": f"{b64(b'[]')}.{payload}.{signature}",
    }  # fmt: skip


async def test_the_providers_tokens_are_bearer_tokens(known: FastAPI, fake: FakeIssuer):
    for what, token in fine_tokens(fake).items():
        assert await statuses(known, token) == [200], what


async def test_no_other_token_is(known: FastAPI, fake: FakeIssuer):
    for what, token in bad_tokens(fake).items():
        async with client_of(known, token) as attacker:
            answer = await attacker.get("/api/auth/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), what


async def test_forged_tokens_are_counted_by_address(trusting, fake: FakeIssuer):
    app = await trusting(fake.url, rate_limit_anonymous=1)

    assert await statuses(app, "a.b.c", "d.e.f") == [401, 429]


async def test_a_provider_with_one_key_may_leave_its_id_out(known: FastAPI, fake: FakeIssuer, trusting):
    fake.keys = fake.keys[:1]
    app = await trusting(fake.url)

    assert await statuses(app, jwt.encode(fake.claims_of(), fake.rsa, "RS256")) == [200]


async def test_unknown_signing_keys_are_fetched_at_a_limited_rate(known: FastAPI, fake: FakeIssuer):
    fake.keys.append(fake.public(fake.stranger, "new"))
    fake.requests.clear()
    rotated = fake.signed(fake.stranger, {"kid": "new"})

    assert await statuses(known, rotated, rotated, fake.signed()) == [401, 401, 200]
    assert fake.requests == []  # its keys were fetched a moment ago
    known.state.identity_provider.pause_seconds = 0.0
    assert await statuses(known, rotated) == [200]
    assert fake.requests == ["metadata", "jwks"]
    assert await statuses(known, rotated, fake.signed()) == [200, 200]
    assert fake.requests == ["metadata", "jwks"]


async def test_forged_tokens_cause_no_request(known: FastAPI, fake: FakeIssuer):
    known.state.identity_provider.pause_seconds = 0.0
    fake.requests.clear()
    forgery = forged({"alg": "HS256", "kid": "unknown"}, fake.claims_of(), lambda _: b"x")

    assert await statuses(known, forgery) == [401]
    assert fake.requests == []


async def test_an_unavailable_provider_answers_503(trusting, fake: FakeIssuer):
    fake.unavailable = True
    app = await trusting(fake.url)
    assert await statuses(app, fake.signed()) == [503]
    assert (await Browser(app).http.get(BEGIN)).status_code == 503

    fake.unavailable = False
    app.state.identity_provider.pause_seconds = 0.0
    assert "code" in await sign_in(Browser(app), fake)
    fake.unavailable = True
    app.state.identity_provider.cache_seconds = 0.0
    assert await statuses(app, fake.signed()) == [200]  # by the keys that are known


async def test_a_provider_with_another_issuer_is_not_trusted(trusting, fake: FakeIssuer):
    app = await trusting(fake.url.replace("127.0.0.1", "localhost"))

    assert (await Browser(app).http.get(BEGIN)).status_code == 503


async def test_without_a_provider_there_is_none(app: FastAPI, fake: FakeIssuer):
    async with client_of(app) as visitor:
        answers = [
            await visitor.get(BEGIN),
            await visitor.get("/api/auth/oidc/callback?code=c&state=s"),
        ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "no_identity_provider")] * 2
    assert await statuses(app, fake.signed()) == [401]


async def test_the_button_has_a_name(trusting, fake: FakeIssuer):
    async with client_of(await trusting(fake.url, oidc_name="Example ID")) as visitor:
        assert (await visitor.get("/api/auth/methods")).json()["data"]["oidc"] == "Example ID"
