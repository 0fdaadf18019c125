"""The unmodified `openai` package against the gateway on a port of its own."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest_asyncio
from fastapi import FastAPI

from brightrun.api.openai import ids
from brightrun.runtime.database import Pool
from tests.services.api.conftest import User, validated_dataset
from tests.services.slices import serve


@pytest_asyncio.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    async with serve(app) as address:
        yield f"{address}/v1"


def client_of(url: str, user: User, retries: int = 0) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key=user.account["token"], max_retries=retries)


@pytest_asyncio.fixture
async def client(url: str, ada: User) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(url, ada) as client:
        yield client


@pytest_asyncio.fixture
async def stranger(url: str, eve: User) -> AsyncIterator[openai.AsyncOpenAI]:
    """Somebody else's client."""
    async with client_of(url, eve) as client:
        yield client


async def file_of(pool: Pool, user: User, **changes: Any) -> str:
    """A file that was validated."""
    return ids.write(ids.FILE, await validated_dataset(pool, user, **changes))
