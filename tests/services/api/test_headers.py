"""Security headers of every response, and the origins that may read it."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from brightrun.api.app import HEADERS
from brightrun.api.settings import Settings
from brightrun.runtime.database import Pool
from tests.services.api.conftest import PASSWORD, User, client_of, gateway

LAB = "https://lab.example.com"


def fail() -> None:
    raise RuntimeError("nobody expected this")


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://api")


@pytest_asyncio.fixture
async def from_lab(pool: Pool, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A page of another site that the operator has named."""
    changed = Settings(**settings.model_dump() | {"cors_origins": f"https://other.example.com, {LAB}"})
    async with gateway(pool, changed) as app, client(app) as page:
        app.add_api_route("/broken", fail)
        page.headers["origin"] = LAB
        yield page


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/presets", 200),
        ("POST", "/api/auth/login", 400),
        ("GET", "/api/jobs/01900000-0000-7000-8000-000000000000", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/auth/login", 405),
        ("GET", "/broken", 500),
        ("GET", "/health", 200),
        ("GET", "/openapi.json", 200),
    ],
)
async def test_every_answer_is_complete(app: FastAPI, ada: User, method: str, path: str, status: int) -> None:
    app.add_api_route("/broken", fail)

    answer = await ada.request(method, path)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert answer.headers["x-request-id"]


async def test_what_shows_a_token_is_kept_nowhere(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/api/auth/register", json={"email": "ada@example.com", "password": PASSWORD})

    assert answer.json()["data"]["token"]
    assert answer.headers["cache-control"] == "no-store"


async def test_by_default_no_other_sites_page_reads_an_answer(ada: User) -> None:
    preflight = {"origin": LAB, "access-control-request-method": "GET"}

    for answer in (
        await ada.get("/api/auth/me", headers=preflight),
        await ada.options("/api/auth/me", headers=preflight),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_named_sites_page_may_call_with_a_token(from_lab: httpx.AsyncClient) -> None:
    headers = {
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "authorization, idempotency-key",
    }

    answer = await from_lab.options("/api/jobs", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == LAB
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "idempotency-key" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/api/auth/me", 401), ("/broken", 500)])
async def test_a_named_sites_page_reads_refusals_as_well(from_lab: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await from_lab.get(path)

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == LAB
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", f"{LAB}.evil.example.com", "http://lab.example.com"]
)
async def test_any_other_sites_page_still_reads_nothing(from_lab: httpx.AsyncClient, origin: str) -> None:
    answer = await from_lab.get("/health", headers={"origin": origin})

    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origins", ["lab.example.com", f"{LAB}/", f"*, {LAB}", "https://*.example.com", f"{LAB},"])
def test_an_origin_that_could_never_match_is_refused_at_the_start(settings: Settings, origins: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings(**settings.model_dump() | {"cors_origins": origins})


async def test_metrics_need_a_token_of_their_own(ada: User, app: FastAPI, pool: Pool, settings: Settings):
    for token in ("", ada.account["token"]):
        async with client_of(app, token) as client:
            assert (await client.get("/metrics")).status_code == 401
    configured = settings.model_copy(update={"metrics_token": SecretStr("of-prometheus")})
    async with gateway(pool, configured) as application:
        for token, status in (("", 401), ("of-prometheus", 200), ("of-prometheus2", 401), ("é", 401)):
            async with client_of(application) as client:
                headers = {"authorization": f"Bearer {token}".encode()}
                assert (await client.get("/metrics", headers=headers)).status_code == status
