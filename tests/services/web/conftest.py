"""The pages as an application over a fake of the public API, and browsers that visit it."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr

from brightrun.web.main import create_pages
from brightrun.web.settings import Settings
from tests.conftest import SECRET
from tests.services.web.fake_api import PASSWORD, FakeApi

ORIGIN = "http://web.test"
SETTINGS = Settings(port=1, api_url="http://api.test", web_secret=SecretStr(SECRET))


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest_asyncio.fixture
async def app(api: FakeApi) -> AsyncIterator[FastAPI]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url=SETTINGS.api_url) as http:
        yield create_pages(SETTINGS, http)


def browse(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN})


@pytest_asyncio.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browse(app) as browser:
        yield browser


@pytest_asyncio.fixture
async def ada(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is signed in."""
    async with browse(app) as browser:
        await browser.post("/sign-in", data={"email": "ada@example.com", "password": PASSWORD})
        yield browser
