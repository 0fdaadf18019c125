"""The whole service as a process: flat memory, from upload to verdict."""

import asyncio
import hashlib
import json
import os
import random
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from brightrun.artifacts.settings import Settings
from brightrun.contracts.values import new_id
from brightrun.local.engines import TansuBroker
from brightrun.runtime.tokens import issue
from tests.conftest import SECRET, SlicePool
from tests.services.artifacts.conftest import environment
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
BIG = 200 * MIB
MAX_GROWTH = 64 * MIB


@pytest_asyncio.fixture
async def service(slice_pool: SlicePool, settings: Settings, tansu: TansuBroker) -> AsyncIterator[tuple[int, str]]:
    """The running service: its process id and URL."""
    await slice_pool("artifacts")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    changes = {"port": port, "kafka_bootstrap": tansu.bootstrap, "kafka_idempotence": False}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "brightrun.artifacts.main",
        env=os.environ | environment(settings.model_copy(update=changes)),
    )
    url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        assert process.returncode is None
        try:
            async with httpx.AsyncClient(timeout=5) as anyone:
                return (await anyone.get(f"{url}/ready")).status_code == 200
        except httpx.TransportError:
            return False

    try:
        await eventually(ready)
        yield process.pid, url
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), GENEROUS_SECONDS)


def asking(url: str, user: UUID) -> httpx.AsyncClient:
    token = issue(SECRET, "api", "artifacts", user)
    return httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=120)


def memory(pid: int, figure: str) -> int:
    """A figure of /proc/<pid>/status in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(figure))


def forget_peak_memory(pid: int) -> None:
    """Start VmHWM anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def conversation(number: int) -> bytes:
    words = random.Random(number).randbytes(300).hex()  # noqa: S311 - filler
    messages = [{"role": "user", "content": f"Question {number}"}, {"role": "assistant", "content": words}]
    return json.dumps({"messages": messages}).encode() + b"\n"


async def validated(client: httpx.AsyncClient, content: AsyncIterator[bytes]) -> dict[str, object]:
    answer = await client.post("/datasets", params={"name": "Large"}, content=content)
    assert answer.status_code == 201, answer.text

    async def finished() -> dict[str, object] | None:
        dataset = (await client.get(f"/datasets/{answer.json()['data']['id']}")).json()["data"]
        return dataset if dataset["status"] in ("ready", "invalid") else None

    return await eventually(finished, within=120)


async def test_memory_stays_flat_whatever_is_uploaded(service: tuple[int, str]):
    pid, url = service
    digest = hashlib.sha256()

    async def examples(size: int) -> AsyncIterator[bytes]:
        sent = number = 0
        while sent < size:
            piece = b"".join(conversation(number + offset) for offset in range(200))
            number += 200
            sent += len(piece)
            digest.update(piece)
            yield piece

    async with asking(url, new_id()) as client:
        await validated(client, examples(16 * MIB))  # what several parts and their threads need, whatever the size
        digest = hashlib.sha256()
        before = memory(pid, "VmRSS")
        forget_peak_memory(pid)
        dataset = await validated(client, examples(BIG))
    assert dataset["status"] == "ready"
    assert dataset["sha256"] == digest.hexdigest()
    growth = memory(pid, "VmHWM") - before
    assert growth <= MAX_GROWTH, f"grew by {growth / MIB:.0f} MiB"


async def test_memory_stays_flat_when_parts_are_put_together(service: tuple[int, str]):
    pid, url = service
    part, count = conversation(0) * 30_000, 10
    async with asking(url, new_id()) as client:
        await validated(client, _once(conversation(0) * 12))
        opened = await client.post("/uploads", json={"filename": "Large", "size": len(part) * count})
        upload = f"/uploads/{opened.json()['data']['id']}"
        before = memory(pid, "VmRSS")
        forget_peak_memory(pid)
        parts = [(await client.post(f"{upload}/parts", content=part)).json()["data"]["id"] for _ in range(count)]
        done = await client.post(f"{upload}/complete", json={"part_ids": parts})
        assert done.json()["data"]["dataset"]["size_bytes"] == len(part) * count > BIG / 2
    growth = memory(pid, "VmHWM") - before
    assert growth <= MAX_GROWTH, f"grew by {growth / MIB:.0f} MiB"


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
