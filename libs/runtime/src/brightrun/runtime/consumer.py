"""What happens to a message: handled once, retried with back-off, or sent to the dead letters.

A message that cannot be decoded becomes a dead letter at once, one whose handler fails after a bounded back-off. While
the database is down the consumer waits. A message is acknowledged only after its effect is committed.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import CommitFailedError, IllegalStateError
from faststream.kafka import KafkaMessage
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
MAX_HEADER_LENGTH = 2000

HANDLED = Histogram("brightrun_handler_seconds", "Time to handle one delivery, retries included.", ["topic"])
DEAD = Counter("brightrun_dead_letters_total", "Messages sent to the dead letters.", ["topic", "cause"])


class Consumer:
    """Handles the messages of one subscription."""

    def __init__(self, kafka: KafkaClient, pool: Pool, subscription: Subscription[Any]) -> None:
        self._kafka = kafka
        self._pool = pool
        self._subscription = subscription
        self._topic = subscription.event.topic
        self.busy_since: float | None = None

    async def consume(self, message: KafkaMessage) -> None:
        """Handle the message's records and acknowledge them; after an unexpected error they are delivered again."""
        raw = message.raw_message
        records: Sequence[ConsumerRecord[Any, Any]] = raw if isinstance(raw, tuple) else (raw,)
        self.busy_since = time.monotonic()
        try:
            with HANDLED.labels(self._topic).time():
                await self._handle(records)
            failpoint("consumer.handled")
            await message.ack()
        except (CommitFailedError, IllegalStateError) as error:
            log.info("consumer.rebalanced", topic=self._topic, error=str(error))
        except Exception:
            log.exception("consumer.redelivery", topic=self._topic)
            await asyncio.sleep(REDELIVERY_SECONDS)
            await message.nack()
        finally:
            self.busy_since = None

    async def _handle(self, records: Sequence[ConsumerRecord[Any, Any]]) -> None:
        decoded: list[tuple[Event, ConsumerRecord[Any, Any]]] = []
        for record in records:
            try:
                decoded.append((self._subscription.event.model_validate_json(record.value or b""), record))
            except ValidationError as error:
                await self._send_dead(record, "undecodable", str(error))
        if not decoded or await self._try_batch([event for event, _ in decoded]) is None:
            return
        for event, record in decoded:
            failure = await self._retry(event)
            if failure is not None:
                await self._send_dead(record, "handler_failed", repr(failure))

    async def _retry(self, event: Event) -> Exception | None:
        failure = None
        for pause in (0.0, *BACKOFF_SECONDS):
            await asyncio.sleep(pause)
            failure = await self._try_batch([event])
            if failure is None:
                return None
            log.warning("handler.failed", topic=self._topic, event_id=str(event.event_id), error=repr(failure))
        return failure

    async def _try_batch(self, events: Sequence[Event]) -> Exception | None:
        """Handle `events` in one transaction; waits while the database is down."""
        while True:
            try:
                async with transaction(self._pool) as conn:
                    unseen = await inbox.mark(conn, [event.event_id for event in events])
                    new = list({event.event_id: event for event in events if event.event_id in unseen}.values())
                    ids = {"topic": self._topic, "key": events[0].key, "event_id": str(events[0].event_id)}
                    with structlog.contextvars.bound_contextvars(**ids):
                        if new:
                            await self._subscription.handle(new, conn)
                return None
            except asyncpg.DataError as error:  # the message's fault, though an InterfaceError
                return error
            except DATABASE_DOWN as error:
                log.warning("consumer.database_down", topic=self._topic, error=repr(error))
                await asyncio.sleep(DATABASE_WAIT_SECONDS)
            except Exception as error:
                return error

    async def _send_dead(self, record: ConsumerRecord[Any, Any], cause: str, error: str) -> None:
        """Send the unchanged bytes to the dead-letter topic, with their cause and origin as headers."""
        headers = {
            "cause": cause,
            "error": error[:MAX_HEADER_LENGTH],
            "reader": self._kafka.client_id,
            "origin": f"{record.topic}/{record.partition}/{record.offset}",
            "failed_at": utc_now().isoformat(),
        }
        await self._kafka.send(
            record.topic + DEAD_SUFFIX, (record.key or b"").decode(errors="replace"), record.value, headers
        )
        DEAD.labels(record.topic, cause).inc()
        log.error("message.dead", **headers)
