"""A domain of one event, for tests of the chassis."""

import asyncio
import os
from typing import ClassVar
from uuid import UUID

from fastapi import FastAPI

from brightrun.contracts.event import Event, Topic
from brightrun.contracts.values import new_id
from brightrun.runtime import logs
from brightrun.runtime.database import Connection, Pool, create_pool
from brightrun.runtime.kafka import Subscription, subscribe, subscribe_batch
from brightrun.runtime.service import Service
from brightrun.runtime.settings import SliceSettings

CREATE_RECEIVED = "CREATE TABLE received (n bigint GENERATED ALWAYS AS IDENTITY, ping_id uuid, text text)"


class Ping(Event):
    """A sender sends `text`. Owner: tests."""

    topic: ClassVar[str] = "ping"

    sender: UUID
    text: str

    @property
    def key(self) -> str:
        return str(self.sender)


def ping_on(topic_name: str) -> type[Ping]:
    """The event on a topic of its own."""
    return type("Ping", (Ping,), {"topic": topic_name, "__module__": __name__, "__doc__": Ping.__doc__})


def topic_of(event: type[Ping]) -> Topic:
    return Topic(event, "tests", ("notifier",), partitions=3)


def subscribe_to(event: type[Ping]) -> Subscription[Ping]:
    """Record each ping; the handler fails for the texts 'boom' and 'huge'."""

    @subscribe(event)
    async def on_ping(ping: Ping, conn: Connection) -> None:
        await record(ping, conn)

    return on_ping


def subscribe_without_failures(event: type[Ping]) -> Subscription[Ping]:
    """Record each ping."""

    @subscribe(event)
    async def on_ping(ping: Ping, conn: Connection) -> None:
        await conn.execute("INSERT INTO received (ping_id, text) VALUES ($1, $2)", ping.event_id, ping.text)

    return on_ping


def subscribe_to_batches(event: type[Ping]) -> Subscription[Ping]:
    @subscribe_batch(event)
    async def on_pings(pings: list[Ping], conn: Connection) -> None:
        for ping in pings:
            await record(ping, conn)

    return on_pings


async def record(ping: Ping, conn: Connection) -> None:
    await conn.execute("INSERT INTO received (ping_id, text) VALUES ($1, $2)", ping.event_id, ping.text)
    if ping.text == "boom":
        raise ValueError("too loud")
    if ping.text == "huge":
        await conn.execute("SELECT $1::bigint", 2**70)


async def received(pool: Pool) -> list[str]:
    """The texts of the recorded pings, in order."""
    return [row["text"] for row in await pool.fetch("SELECT text FROM received ORDER BY n")]


def new_ping(event: type[Ping], text: str, sender: UUID | None = None) -> Ping:
    return event(sender=sender or new_id(), text=text)


async def serve(settings: SliceSettings, pool: Pool, event: type[Ping]) -> None:
    """A consumer and a relay, until the process is killed."""
    service = Service("notifier", settings, [topic_of(event)], pool, FastAPI())
    service.subscribe(subscribe_to(event))
    async with service.working():
        await asyncio.Event().wait()


async def main() -> None:
    logs.configure("ping")
    settings = SliceSettings(port=0)
    pool = await create_pool(settings.database_url.get_secret_value(), 3)
    await serve(settings, pool, ping_on(os.environ["PING_TOPIC"]))


if __name__ == "__main__":
    asyncio.run(main())
