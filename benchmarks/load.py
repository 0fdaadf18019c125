"""HTTP load from one process: kept connections, prepared requests, answers read to their end."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """One request to `url`, its bytes put together once."""

    url: str
    content: bytes

    @classmethod
    def of(cls, method: str, url: str, token: str = "", body: bytes = b"") -> "Request":
        """The bytes of a request with a bearer `token` and a JSON `body`."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        lines = [f"{method} {target} HTTP/1.1", f"host: {parts.netloc}", f"content-length: {len(body)}"]
        lines += [f"authorization: Bearer {token}"] if token else []
        lines += ["content-type: application/json"] if body else []
        return cls(url, "\r\n".join([*lines, "", ""]).encode() + body)


class Connection:
    """One kept connection to a server that states the length of its answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: Request) -> None:
        """Send and read the answer to its end; raises on any status but 2xx."""
        self._writer.write(request.content)
        head = await self._reader.readuntil(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        body = await self._reader.readexactly(int(length.partition(b"\r\n")[0]))
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{request.url}: {head.splitlines()[0].decode()} {body[:300].decode()}")

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@asynccontextmanager
async def connections(url: str, number: int) -> AsyncIterator[Sequence[Connection]]:
    """Open connections to the server of `url`."""
    parts = urlsplit(url)
    opened = [Connection(*await asyncio.open_connection(parts.hostname, parts.port)) for _ in range(number)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def rate_of(request: Request, clients: int, seconds: float) -> float:
    """Requests per second when each of `clients` asks again as soon as it is answered."""
    async with connections(request.url, clients) as opened:
        began = time.monotonic()
        counts = await asyncio.gather(*(_ask_until(began + seconds, one, request) for one in opened))
        return sum(counts) / (time.monotonic() - began)


async def _ask_until(end: float, connection: Connection, request: Request) -> int:
    asked = 0
    while time.monotonic() < end:
        await connection.ask(request)
        asked += 1
    return asked


async def latencies_at(request: Request, per_second: float, seconds: float, clients: int) -> list[float]:
    """Milliseconds from when each request was due to the end of its answer, `per_second` being due whatever happens.

    A slow answer therefore delays nobody's clock: what waits for a free connection counts as waiting.
    """
    free: asyncio.Queue[Connection] = asyncio.Queue()
    async with connections(request.url, clients) as opened:
        for connection in opened:
            free.put_nowait(connection)
        began = time.monotonic()
        due = [began + number / per_second for number in range(round(per_second * seconds))]
        return await asyncio.gather(*(_ask_at(moment, free, request) for moment in due))


async def _ask_at(due: float, free: "asyncio.Queue[Any]", request: Request) -> float:
    await asyncio.sleep(max(due - time.monotonic(), 0))
    connection = await free.get()
    await connection.ask(request)
    free.put_nowait(connection)
    return (time.monotonic() - due) * 1000
