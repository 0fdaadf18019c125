"""The transactional outbox: an event is a row of the transaction that made it true; the relay sends it afterwards."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from brightrun.contracts.event import Event
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Connection
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.kafka import Bus

log = structlog.get_logger()

RELAY_BATCH = 500
SAFETY_POLL_SECONDS = 2.0

TAKE_LEAD = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '.outbox', 0))"
FIND_WAITING = "SELECT id, topic, key, value, created_at FROM outbox ORDER BY id LIMIT $1"

SENT = Counter("brightrun_outbox_sent_total", "Events that the relay handed to Kafka.", ["topic"])
OLDEST = Gauge("brightrun_outbox_oldest_seconds", "Age of the oldest event that still waits in the outbox.")


class SendError(RuntimeError):
    """The broker did not take everything; the rest stays in the outbox."""


async def add(conn: Connection, *events: Event) -> None:
    """Record `events` to be published if, and only if, the caller's transaction commits."""
    rows = [(event.topic, event.key, event.model_dump_json().encode()) for event in events]
    await conn.execute(
        """
        WITH added AS (
            INSERT INTO outbox (topic, key, value)
            SELECT topic, key, value FROM unnest($1::text[], $2::text[], $3::bytea[])
                WITH ORDINALITY AS event (topic, key, value, place) ORDER BY place)
        SELECT pg_notify(current_schema() || '.outbox', '')
        """,
        *map(list, zip(*rows, strict=True)),
    )  # fmt: skip


class Relay:
    """Sends what the outbox holds, while this process is the slice's one relay.

    The lead is a lock of a session of its own; no transaction is open while Kafka is spoken to. A crash between the
    acknowledgement and the deletion sends the event twice, which readers' inboxes absorb.
    """

    def __init__(self, database_url: str, bus: Bus) -> None:
        self._database_url = database_url
        self._bus = bus
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._leads = False

    async def work(self) -> bool:
        """Send one batch; True if anything was sent, so that the caller looks again at once."""
        session = await self._connected()
        self._leads = self._leads or await session.fetchval(TAKE_LEAD)
        return self._leads and await self._send_waiting(session)

    async def close(self) -> None:
        """Give up the lead."""
        if self._session:
            self._session.terminate()

    async def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._session is None or self._session.is_closed():
            self._leads = False
            self._session = await asyncpg.connect(self._database_url, command_timeout=30)
        return self._session

    async def _send_waiting(self, session: Connection) -> bool:
        rows = await session.fetch(FIND_WAITING, RELAY_BATCH)
        OLDEST.set((utc_now() - rows[0]["created_at"]).total_seconds() if rows else 0)
        sent = await _send(rows, self._bus)
        failpoint("relay.sent")
        if sent:
            await session.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", sent)
        if len(sent) < len(rows):
            raise SendError(f"{len(rows) - len(sent)} events are still to be sent")
        return bool(sent)


async def _send(rows: Sequence[asyncpg.Record], bus: Bus) -> list[int]:
    """Send `rows`, keys side by side, each key in order; returns the ids that the broker acknowledged."""
    chains: dict[tuple[str, str], list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        chains[row["topic"], row["key"]].append(row)
    sent = await asyncio.gather(*(_send_chain(chain, bus) for chain in chains.values()))
    return [row_id for ids in sent for row_id in ids]


async def _send_chain(chain: Sequence[asyncpg.Record], bus: Bus) -> list[int]:
    """Send one key's rows in order up to the first that fails, so that none overtakes it."""
    sent = []
    for row in chain:
        try:
            await bus.send(row["topic"], row["key"], row["value"])
        except Exception as error:
            log.warning("relay.send_failed", topic=row["topic"], key=row["key"], error=repr(error))
            break
        SENT.labels(row["topic"]).inc()
        sent.append(row["id"])
    return sent
