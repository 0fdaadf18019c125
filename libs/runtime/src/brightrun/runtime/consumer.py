"""What happens to a message: handled once, retried with back-off, or sent to the dead letters.

A message that cannot be decoded becomes a dead letter at once, one whose handler fails after a bounded back-off. While
the database is down the consumer waits. A message is acknowledged only after its effect is committed.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from prometheus_client import Counter, Histogram
from pydantic import ValidationError

from brightrun.contracts.event import Event
from brightrun.contracts.values import utc_now
from brightrun.runtime import inbox
from brightrun.runtime.database import DATABASE_DOWN, Pool, transaction
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.kafka import DEAD_SUFFIX, KafkaClient, Subscription

log = structlog.get_logger()

BACKOFF_SECONDS = (0.1, 0.5, 2.0)
DATABASE_WAIT_SECONDS = 1.0
REDELIVERY_SECONDS = 1.0
FETCH_WAIT_MS = 500
BATCH_RECORDS = 500
DRAIN_SECONDS = 10.0
MAX_HEADER_LENGTH = 2000

Record: TypeAlias = ConsumerRecord[Any, Any]

HANDLED = Histogram("brightrun_handler_seconds", "Time to handle one delivery, retries included.", ["topic"])
DEAD = Counter("brightrun_dead_letters_total", "Messages sent to the dead letters.", ["topic", "cause"])


class Consumer:
    """Consumes the topic of one subscription, in a consumer group of its own."""

    def __init__(self, kafka: KafkaClient, pool: Pool, subscription: Subscription[Any]) -> None:
        self._kafka = kafka
        self._pool = pool
        self._subscription = subscription
        self._handling = asyncio.Lock()
        self.topic = subscription.event.topic
        self.busy_since: float | None = None

    async def run(self) -> bool:
        """Join the consumer group and consume until an error."""
        max_records = BATCH_RECORDS if self._subscription.batch else 1
        async with self._kafka.consuming(self.topic, group_id=f"{self._kafka.client_id}.{self.topic}") as source:
            while True:
                fetched = await source.getmany(timeout_ms=FETCH_WAIT_MS, max_records=max_records)
                if records := list(chain.from_iterable(fetched.values())):
                    async with self._handling:
                        if not await self.consume(records, source.commit):
                            _rewind(source, records)

    async def drain(self) -> None:
        """Finish the messages in progress, and begin no others."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._handling.acquire(), DRAIN_SECONDS)

    async def consume(self, records: Sequence[Record], commit: Callable[[], Awaitable[None]]) -> bool:
        """Handle the records and `commit` their offsets; False if they have to be delivered again."""
        self.busy_since = time.monotonic()
        try:
            with HANDLED.labels(self.topic).time():
                await self._handle(records)
            failpoint("consumer.handled")
            await commit()
        except (CommitFailedError, IllegalStateError) as error:
            log.info("consumer.rebalanced", topic=self.topic, error=str(error))
        except Exception:
            log.exception("consumer.redelivery", topic=self.topic)
            await asyncio.sleep(REDELIVERY_SECONDS)
            return False
        finally:
            self.busy_since = None
        return True

    async def _handle(self, records: Sequence[Record]) -> None:
        decoded: list[tuple[Event, Record]] = []
        for record in records:
            try:
                decoded.append((self._subscription.event.model_validate_json(record.value or b""), record))
            except ValidationError as error:
                await self._send_dead(record, "undecodable", str(error))
        if not decoded or await self._try([event for event, _ in decoded]) is None:
            return
        for event, record in decoded:
            for pause in (0.0, *BACKOFF_SECONDS):
                await asyncio.sleep(pause)
                failure = await self._try([event])
                if failure is None:
                    break
                log.warning("handler.failed", topic=self.topic, event_id=str(event.event_id), error=repr(failure))
            else:
                await self._send_dead(record, "handler_failed", repr(failure))

    async def _try(self, events: Sequence[Event]) -> Exception | None:
        """Handle `events` in one transaction and return its failure; waits while the database is down."""
        while True:
            try:
                async with transaction(self._pool) as conn:
                    unseen = await inbox.mark(conn, [event.event_id for event in events])
                    new = list({event.event_id: event for event in events if event.event_id in unseen}.values())
                    ids = {"topic": self.topic, "key": events[0].key, "event_id": str(events[0].event_id)}
                    with structlog.contextvars.bound_contextvars(**ids):
                        if new:
                            await self._subscription.handle(new, conn)
                return None
            except asyncpg.DataError as error:  # the message's fault, though an InterfaceError
                return error
            except DATABASE_DOWN as error:
                log.warning("consumer.database_down", topic=self.topic, error=repr(error))
                await asyncio.sleep(DATABASE_WAIT_SECONDS)
            except Exception as error:
                return error

    async def _send_dead(self, record: Record, cause: str, error: str) -> None:
        """Send the unchanged bytes to the dead-letter topic, with their cause and origin as headers."""
        headers = {
            "cause": cause,
            "error": error[:MAX_HEADER_LENGTH],
            "reader": self._kafka.client_id,
            "origin": f"{record.topic}/{record.partition}/{record.offset}",
            "failed_at": utc_now().isoformat(),
        }
        key = (record.key or b"").decode(errors="replace")
        await self._kafka.send(record.topic + DEAD_SUFFIX, key, record.value, headers)
        DEAD.labels(record.topic, cause).inc()
        log.error("message.dead", **headers)


def _rewind(source: AIOKafkaConsumer, records: Sequence[Record]) -> None:
    """Fetch the records again."""
    for record in reversed(records):
        with contextlib.suppress(IllegalStateError):  # the partition was revoked: its next consumer handles them
            source.seek(TopicPartition(record.topic, record.partition), record.offset)
