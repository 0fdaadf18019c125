"""Kafka in and out: topics from the catalogue, acknowledged sends, and subscriptions that lose and double nothing.

FastStream is given bytes and manual acknowledgement only. What happens to a message is decided in `consumer.py`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Generic, TypeAlias, TypeVar, cast

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError, for_code
from aiokafka.structs import TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.subscriber.usecase import LogicSubscriber

from brightrun.contracts.event import Event, Topic
from brightrun.runtime.database import Connection
from brightrun.runtime.settings import KafkaSettings

log = structlog.get_logger()

E = TypeVar("E", bound=Event)
T = TypeVar("T")
Handler: TypeAlias = Callable[[T, Connection], Awaitable[None]]

DEAD_SUFFIX = ".dead"
DEAD_RETENTION = timedelta(days=30)
BATCH_RECORDS = 500
BATCH_WAIT_MS = 500


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


async def _next_batch(consumer: AIOKafkaConsumer) -> tuple[Any, ...]:
    """The records of a fetch. FastStream's own function sleeps after each empty fetch."""
    found = await consumer.getmany(timeout_ms=BATCH_WAIT_MS, max_records=BATCH_RECORDS)
    return tuple(chain.from_iterable(found.values()))


async def raw(message: KafkaMessage) -> KafkaMessage:
    """Decode nothing: one malformed body must not fail its batch."""
    return message


class KafkaClient:
    """The Kafka connections of one process: a producer, and a consumer for each subscription."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._consumers: list[tuple[Subscription[Any], Callable[[KafkaMessage], Awaitable[None]]]] = []
        self._follower: AIOKafkaConsumer | None = None
        self.client_id = client_id
        self.broker = KafkaBroker(
            settings.kafka_bootstrap,
            client_id=client_id,
            acks="all",
            enable_idempotence=settings.kafka_idempotence,
            linger_ms=0,
            graceful_timeout=10.0,
            apply_types=False,
            allow_auto_create_topics=False,
            logger=None,
        )

    def consume(self, subscription: Subscription[Any], consume: Callable[[KafkaMessage], Awaitable[None]]) -> None:
        """Consume the subscription's topic from `start` on; `consume` acknowledges its messages itself."""
        self._consumers.append((subscription, consume))

    async def start(self) -> None:
        """Connect, and join all consumer groups side by side; FastStream would join them one after the other."""
        await self.broker.start()
        await asyncio.gather(*(self.subscriber(*consumer).start() for consumer in self._consumers))

    async def stop(self) -> None:
        """Finish messages in progress, leave the groups, flush the producer."""
        await self.broker.stop()

    def subscriber(
        self, subscription: Subscription[Any], consume: Callable[[KafkaMessage], Awaitable[None]]
    ) -> LogicSubscriber[Any]:
        """FastStream's subscriber, with everything off that acknowledges by itself."""
        subscriber: LogicSubscriber[Any] = self.broker.subscriber(
            subscription.event.topic,
            group_id=f"{self.client_id}.{subscription.event.topic}",
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._settings.kafka_fetch_wait_ms,
            session_timeout_ms=self._settings.kafka_session_ms,
            heartbeat_interval_ms=self._settings.kafka_session_ms // 4,
            decoder=raw,
            batch=cast("Any", subscription.batch),
        )
        subscriber(consume)
        if subscription.batch:
            subscriber.get_msg = _next_batch  # type: ignore[method-assign]
        return subscriber

    async def send(self, topic: str, key: str, value: bytes, headers: dict[str, str] | None = None) -> None:
        """Send one record; returns once the broker's in-sync replicas have it."""
        await self.broker.publish(value, topic, key=key.encode(), headers=headers)

    async def publish(self, events: Sequence[Event]) -> None:
        """Send events from a replayable source, which need no outbox; returns once the broker has them all."""
        sends = [
            await self.broker.publish(
                event.model_dump_json().encode(), event.topic, key=event.key.encode(), no_confirm=True
            )
            for event in events
        ]
        await asyncio.gather(*sends)

    async def follow(self, topics: Sequence[str], on_record: Callable[[str, bytes, bytes], None]) -> None:
        """Call `on_record(topic, key, value)` with every record sent from now on, outside of any consumer group.

        Keeps no offset: records that are sent while this does not run are missed.
        """
        self._follower = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self._settings.kafka_bootstrap,
            client_id=self.client_id,
            fetch_max_wait_ms=self._settings.kafka_fetch_wait_ms,
        )
        async with self._follower:
            async for record in self._follower:
                on_record(record.topic, record.key, record.value)

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
        subscribers = (each for each in self.broker.subscribers if isinstance(each, LogicSubscriber))
        consumers = [subscriber.consumer for subscriber in subscribers]
        consumers.append(self._follower)
        return [(consumer, partition) for consumer in consumers if consumer for partition in consumer.assignment()]


async def ensure_topics(settings: KafkaSettings, topics: Sequence[Topic]) -> None:
    """Create the catalogue's topics and their dead-letter topics where they are missing; waits for the broker."""
    admin = await _connect_admin(settings)
    try:
        existing = set(await admin.list_topics())
        required = [_new_topic(topic.name, topic.partitions, topic.retention, settings) for topic in topics]
        required += [_new_topic(topic.name + DEAD_SUFFIX, 1, DEAD_RETENTION, settings) for topic in topics]
        if missing := [topic for topic in required if topic.name not in existing]:
            _raise_errors(await admin.create_topics(missing))
    finally:
        await admin.close()


def _new_topic(name: str, partitions: int, retention: timedelta, settings: KafkaSettings) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=partitions,
        replication_factor=settings.kafka_replication,
        topic_configs={"retention.ms": str(int(retention.total_seconds() * 1000))},
    )


def _raise_errors(response: Any) -> None:
    """Several services create the topics at once: one that exists by now is no error."""
    for name, code, *message in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise for_code(code)(f"topic {name} was not created: {message}")


async def _connect_admin(settings: KafkaSettings) -> AIOKafkaAdminClient:
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
        try:
            await admin.start()
            return admin
        except KafkaConnectionError as error:
            await admin.close()
            log.warning("kafka.unreachable", bootstrap=settings.kafka_bootstrap, error=str(error))
            await asyncio.sleep(1)
