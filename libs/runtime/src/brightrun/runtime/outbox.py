"""The transactional outbox: an event is inserted in the transaction that makes it true; the relay sends it later."""

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
from brightrun.runtime.kafka import KafkaClient
from brightrun.runtime.locks import Leadership

log = structlog.get_logger()

RELAY_BATCH = 500
SAFETY_POLL_SECONDS = 2.0

FIND_WAITING = "SELECT id, topic, key, value, created_at FROM outbox ORDER BY id LIMIT $1"

SENT = Counter("brightrun_outbox_sent_total", "Events that the relay handed to Kafka.", ["topic"])
OLDEST = Gauge("brightrun_outbox_oldest_seconds", "Age of the oldest event that still waits in the outbox.")


class SendError(RuntimeError):
    """The broker did not acknowledge everything; the rest stays in the outbox."""


async def add(conn: Connection, *events: Event) -> None:
    """Publish `events` if, and only if, the caller's transaction commits. One statement, which also wakes the relay."""
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
    """Sends the events of the outbox, in one process of the slice at a time.

    No transaction is open while Kafka is called. A crash between the acknowledgement and the deletion sends the event
    twice, which the consumers' inboxes absorb.
    """

    def __init__(self, leadership: Leadership, kafka: KafkaClient) -> None:
        self._leadership = leadership
        self._kafka = kafka

    async def work(self) -> bool:
        """Send one batch; True if anything was sent, so that the caller looks again at once."""
        session = await self._leadership.acquire()
        rows = await session.fetch(FIND_WAITING, RELAY_BATCH) if session else []
        OLDEST.set((utc_now() - rows[0]["created_at"]).total_seconds() if rows else 0)
        sent = await _send(rows, self._kafka)
        failpoint("relay.sent")
        if session and sent:
            await session.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", sent)
        if len(sent) < len(rows):
            raise SendError(f"{len(rows) - len(sent)} events are still to be sent")
        return bool(sent)


async def _send(rows: Sequence[asyncpg.Record], kafka: KafkaClient) -> list[int]:
    """Send `rows`, keys side by side, each key in order; returns the ids that the broker acknowledged."""
    chains: dict[tuple[str, str], list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        chains[row["topic"], row["key"]].append(row)
    sent = await asyncio.gather(*(_send_chain(chain, kafka) for chain in chains.values()))
    return [row_id for ids in sent for row_id in ids]


async def _send_chain(chain: Sequence[asyncpg.Record], kafka: KafkaClient) -> list[int]:
    """Send one key's rows in order up to the first that fails, so that none overtakes it."""
    sent = []
    for row in chain:
        try:
            await kafka.send(row["topic"], row["key"], row["value"])
        except Exception as error:
            log.warning("relay.send_failed", topic=row["topic"], key=row["key"], error=repr(error))
            break
        SENT.labels(row["topic"]).inc()
        sent.append(row["id"])
    return sent
