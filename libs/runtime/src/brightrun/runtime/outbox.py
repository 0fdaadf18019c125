"""The transactional outbox: an event is a row of the transaction that made it true; the relay sends it afterwards."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from brightrun.contracts.event import Event
from brightrun.runtime.database import DATABASE_DOWN, Connection
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

RELAY_BATCH = 500
SAFETY_POLL_SECONDS = 2.0
RETRY_SECONDS = 0.5

TAKE_LEAD = "SELECT pg_try_advisory_lock(hashtextextended($1 || '.outbox', 0))"

SENT = Counter("brightrun_outbox_sent_total", "Events that the relay handed to Kafka.", ["topic"])
OLDEST = Gauge("brightrun_outbox_oldest_seconds", "Age of the oldest event that still waits in the outbox.")


class Sender(Protocol):
    """Whatever takes bytes to a topic and returns once the broker has them."""

    async def send(self, topic: str, key: str, value: bytes) -> None:
        """Send one record; raises if the broker did not acknowledge it."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event on its way."""

    id: int
    topic: str
    key: str
    value: bytes


async def add(conn: Connection, *events: Event) -> None:
    """Record `events` to be published if, and only if, the caller's transaction commits."""
    for event in events:
        await conn.execute(
            "INSERT INTO outbox (topic, key, value) VALUES ($1, $2, $3)",
            event.topic, event.key, event.model_dump_json().encode(),
        )  # fmt: skip
    await conn.execute("SELECT pg_notify(current_schema() || '.outbox', '')")


async def relay(database_url: str, sender: Sender) -> None:
    """Send what the outbox holds, for ever, while this process is the slice's one relay.

    The lock belongs to a session of its own; no transaction is open while Kafka is spoken to. A crash between the
    acknowledgement and the deletion sends the event twice, which readers' inboxes absorb.
    """
    while True:
        try:
            connection = await asyncpg.connect(database_url, command_timeout=30)
            try:
                await _relay_session(connection, sender)
            finally:
                connection.terminate()
        except (*DATABASE_DOWN, asyncpg.PostgresError) as error:
            log.warning("relay.database_down", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


async def _relay_session(connection: Connection, sender: Sender) -> None:
    wake = asyncio.Event()
    schema = await connection.fetchval("SELECT current_schema()")
    await connection.add_listener(f"{schema}.outbox", lambda *_: wake.set())
    while not await connection.fetchval(TAKE_LEAD, schema):  # noqa: ASYNC110 - the lock is another process's
        await asyncio.sleep(SAFETY_POLL_SECONDS)
    log.info("relay.leading", schema=schema)
    while True:
        wake.clear()
        if await _send_waiting(connection, sender):
            continue
        try:
            await asyncio.wait_for(wake.wait(), SAFETY_POLL_SECONDS)
        except TimeoutError:
            continue


async def _send_waiting(connection: Connection, sender: Sender) -> bool:
    """Send one batch; True if anything was sent, so that the caller looks again at once."""
    rows = [
        OutboxRow(*row)
        for row in await connection.fetch("SELECT id, topic, key, value FROM outbox ORDER BY id LIMIT $1", RELAY_BATCH)
    ]
    OLDEST.set(await connection.fetchval("SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM outbox"))
    sent = await _send(rows, sender)
    failpoint("relay.sent")
    if sent:
        await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", sent)
    elif rows:
        await asyncio.sleep(RETRY_SECONDS)
    return bool(sent)


async def _send(rows: Sequence[OutboxRow], sender: Sender) -> list[int]:
    """Send `rows`, keys side by side, each key in order; returns the ids that the broker acknowledged."""
    chains: dict[tuple[str, str], list[OutboxRow]] = defaultdict(list)
    for row in rows:
        chains[row.topic, row.key].append(row)
    return [
        sent for ids in await asyncio.gather(*(_send_chain(chain, sender) for chain in chains.values())) for sent in ids
    ]


async def _send_chain(chain: Sequence[OutboxRow], sender: Sender) -> list[int]:
    """Send one key's rows in order up to the first that fails, so that none overtakes it."""
    sent = []
    for row in chain:
        try:
            await sender.send(row.topic, row.key, row.value)
        except Exception as error:
            log.warning("relay.send_failed", topic=row.topic, key=row.key, error=repr(error))
            break
        SENT.labels(row.topic).inc()
        sent.append(row.id)
    return sent
