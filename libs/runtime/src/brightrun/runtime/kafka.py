"""Kafka: topics from the catalogue, acknowledged sends, and the subscriptions of a service.

What happens to a message is decided in `consumer.py`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeAlias, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError, for_code
from aiokafka.structs import TopicPartition

from brightrun.contracts.event import Event, Topic
from brightrun.runtime.database import Connection
from brightrun.runtime.settings import KafkaSettings

log = structlog.get_logger()

E = TypeVar("E", bound=Event)
T = TypeVar("T")
Handler: TypeAlias = Callable[[T, Connection], Awaitable[None]]

DEAD_SUFFIX = ".dead"
DEAD_RETENTION = timedelta(days=30)
RECONNECT_SECONDS = 0.2


@dataclass(frozen=True)
class Subscription(Generic[E]):
    """A handler of one event, called inside the transaction that also marks the inbox.

    `handle` takes all new events of a batch, in the order of their partition.
    """

    event: type[E]
    handle: Handler[Sequence[E]]
    batch: bool


def subscribe(event_type: type[E]) -> Callable[[Handler[E]], Subscription[E]]:
    """Make a function `(event, conn)` the handler of an event: one transaction for each message."""

    def register(handler: Handler[E]) -> Subscription[E]:
        async def handle(events: Sequence[E], conn: Connection) -> None:
            for event in events:
                await handler(event, conn)

        return Subscription(event_type, handle, batch=False)

    return register


def subscribe_batch(event: type[E]) -> Callable[[Handler[Sequence[E]]], Subscription[E]]:
    """Make a function `(events, conn)` the handler of a busy topic: one transaction for each batch of messages."""
    return lambda handler: Subscription(event, handler, batch=True)


class KafkaClient:
    """The producer and the consumers of one process."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._broker: dict[str, Any] = {"bootstrap_servers": settings.kafka_bootstrap, "client_id": client_id}
        self._consumers: set[AIOKafkaConsumer] = set()
        self.client_id = client_id

    async def start(self) -> None:
        """Connect the producer."""
        idempotence = self._settings.kafka_idempotence
        self._producer = AIOKafkaProducer(**self._broker, acks="all", enable_idempotence=idempotence)
        await self._producer.start()

    async def stop(self) -> None:
        """Flush the producer and disconnect it."""
        await self._producer.stop()

    async def ping(self) -> None:
        """Raise KafkaError unless the broker answers."""
        await self._producer.client.fetch_all_metadata()

    async def send(self, topic: str, key: str, value: bytes, headers: dict[str, str] | None = None) -> None:
        """Send one record; returns once the broker's in-sync replicas have it."""
        encoded = [(name, text.encode()) for name, text in (headers or {}).items()]
        await self._producer.send_and_wait(topic, value, key=key.encode(), headers=encoded)

    async def publish(self, events: Sequence[Event]) -> None:
        """Send events from a replayable source, which need no outbox; returns once the broker has them all."""
        sends = [
            await self._producer.send(event.topic, event.model_dump_json().encode(), key=event.key.encode())
            for event in events
        ]
        await asyncio.gather(*sends)

    async def follow(self, topics: Sequence[str], on_record: Callable[[str, bytes, bytes], None]) -> None:
        """Call `on_record(topic, key, value)` with every record sent from now on, outside of any consumer group.

        Keeps no offset: records that are sent while this does not run are missed.
        """
        async with self.consuming(*topics, auto_offset_reset="latest") as consumer:
            async for record in consumer:
                on_record(record.topic, record.key, record.value)

    @asynccontextmanager
    async def consuming(self, *topics: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer that has its partitions, and leaves them when the block ends."""
        consumer = self.create_consumer(*topics, **options)
        try:
            await consumer.start()
            self._consumers.add(consumer)
            yield consumer
        finally:
            self._consumers.discard(consumer)
            await consumer.stop()

    def create_consumer(self, *topics: str, **options: Any) -> AIOKafkaConsumer:
        """A consumer that commits nothing by itself, and begins with the oldest record."""
        defaults: dict[str, Any] = {
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "fetch_max_wait_ms": self._settings.kafka_fetch_wait_ms,
            "session_timeout_ms": self._settings.kafka_session_ms,
            "heartbeat_interval_ms": self._settings.kafka_session_ms // 4,
        }
        return AIOKafkaConsumer(*topics, **self._broker | defaults | options)

    async def lag(self) -> dict[str, int]:
        """Unread records by topic, as of the last fetches."""
        lags: dict[str, int] = {}
        for consumer, partition in self._assigned():
            with contextlib.suppress(Exception):  # the partition may be revoked meanwhile
                position = await asyncio.wait_for(consumer.position(partition), 0.2)
                behind = max((consumer.highwater(partition) or 0) - position, 0)
                lags[partition.topic] = lags.get(partition.topic, 0) + behind
        return lags

    def oldest_fetch_ms(self) -> int | None:
        """The earliest of the partitions' last fetches, in Unix milliseconds; None before any fetch."""
        fetches = [consumer.last_poll_timestamp(partition) for consumer, partition in self._assigned()]
        return min((fetch for fetch in fetches if fetch), default=None)

    def _assigned(self) -> list[tuple[AIOKafkaConsumer, TopicPartition]]:
        return [(consumer, partition) for consumer in self._consumers for partition in consumer.assignment()]


async def ensure_topics(settings: KafkaSettings, topics: Sequence[Topic]) -> None:
    """Create the catalogue's topics and their dead-letter topics where they are missing; waits for the broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    try:
        await _connect(admin)
        existing = set(await admin.list_topics())
        required = [(topic.name, topic.partitions, topic.retention) for topic in topics]
        required += [(topic.name + DEAD_SUFFIX, 1, DEAD_RETENTION) for topic in topics]
        missing = []
        for name, partitions, retention in required:
            if name not in existing:
                config = {"retention.ms": str(int(retention.total_seconds() * 1000))}
                missing.append(NewTopic(name, partitions, settings.kafka_replication, topic_configs=config))
        created = await admin.create_topics(missing) if missing else None
        for name, code, *message in created.topic_errors if created else ():
            # Several services create the topics at once: one that exists by now is no error.
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)(f"topic {name} was not created: {message}")
    finally:
        await admin.close()


async def _connect(admin: AIOKafkaAdminClient) -> None:
    while True:
        try:
            await admin.start()
            return
        except KafkaConnectionError as error:
            log.warning("kafka.unreachable", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)
