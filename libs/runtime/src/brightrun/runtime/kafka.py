"""Kafka in and out: topics from the catalogue, acknowledged sends, and subscriptions that lose and double nothing.

FastStream is given bytes and manual acknowledgement only. What happens to a message is decided in `delivery.py`.
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


def subscribe(event: type[E]) -> Callable[[Handler[E]], Subscription[E]]:
    """Make a function `(event, conn)` the service's reader of `event`: one transaction for each message."""

    def register(handler: Handler[E]) -> Subscription[E]:
        async def handle(events: Sequence[E], conn: Connection) -> None:
            for one in events:
                await handler(one, conn)

        return Subscription(event, handle, batch=False)

    return register


def subscribe_batch(event: type[E]) -> Callable[[Handler[Sequence[E]]], Subscription[E]]:
    """Make a function `(events, conn)` the reader of a busy topic: one transaction for each batch of messages."""
    return lambda handler: Subscription(event, handler, batch=True)


async def _next_batch(consumer: AIOKafkaConsumer) -> tuple[Any, ...]:
    """What has come, as soon as anything has. FastStream's own sleeps after each empty fetch."""
    found = await consumer.getmany(timeout_ms=BATCH_WAIT_MS, max_records=BATCH_RECORDS)
    return tuple(chain.from_iterable(found.values()))


async def raw(message: KafkaMessage) -> KafkaMessage:
    """Decode nothing: one malformed body must not take its neighbours along."""
    return message


class Bus:
    """One process's connection to Kafka."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._readers: list[tuple[Subscription[Any], Callable[[KafkaMessage], Awaitable[None]]]] = []
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
        """Read the subscription's topic as the service's group, from `start` on; `consume` acknowledges by hand."""
        self._readers.append((subscription, consume))

    async def start(self) -> None:
        """Connect, and join all groups side by side: FastStream itself would join one after the other."""
        await self.broker.start()
        await asyncio.gather(*(self.reader(*reader).start() for reader in self._readers))

    async def stop(self) -> None:
        """Finish the messages in hand, leave the groups, flush what was sent."""
        await self.broker.stop()

    def reader(
        self, subscription: Subscription[Any], consume: Callable[[KafkaMessage], Awaitable[None]]
    ) -> LogicSubscriber[Any]:
        """FastStream's subscriber, with everything off that could acknowledge on its own."""
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

    async def follow(self, topics: Sequence[str], hear: Callable[[str, bytes, bytes], None]) -> None:
        """Call `hear(topic, key, value)` with every record that is sent from now on, whoever else reads the topics.

        For what may be missed: no position is kept, and what comes while this does not run is not heard.
        """
        self._follower = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self._settings.kafka_bootstrap,
            client_id=self.client_id,
            fetch_max_wait_ms=self._settings.kafka_fetch_wait_ms,
        )
        async with self._follower:
            async for record in self._follower:
                hear(record.topic, record.key, record.value)

    async def lag(self) -> dict[str, int]:
        """Records that wait, by topic, as the last fetches saw them."""
        waiting: dict[str, int] = {}
        for consumer, partition in self._assigned():
            with contextlib.suppress(Exception):  # the partition may be leaving
                position = await asyncio.wait_for(consumer.position(partition), 0.2)
                behind = max((consumer.highwater(partition) or 0) - position, 0)
                waiting[partition.topic] = waiting.get(partition.topic, 0) + behind
        return waiting

    def oldest_fetch_ms(self) -> int | None:
        """When the partition that was fetched longest ago was fetched, in Unix milliseconds; None before any was."""
        moments = [consumer.last_poll_timestamp(partition) for consumer, partition in self._assigned()]
        return min((moment for moment in moments if moment), default=None)

    def _assigned(self) -> list[tuple[AIOKafkaConsumer, TopicPartition]]:
        consumers = [reader.consumer for reader in self.broker.subscribers if isinstance(reader, LogicSubscriber)]
        consumers.append(self._follower)
        return [(consumer, partition) for consumer in consumers if consumer for partition in consumer.assignment()]


async def ensure_topics(settings: KafkaSettings, topics: Sequence[Topic]) -> None:
    """Create the catalogue's topics and their dead-letter topics where they are missing; waits for the broker."""
    admin = await _connect_admin(settings)
    try:
        existing = set(await admin.list_topics())
        wanted = [_new_topic(topic.name, topic.partitions, topic.retention, settings) for topic in topics]
        wanted += [_new_topic(topic.name + DEAD_SUFFIX, 1, DEAD_RETENTION, settings) for topic in topics]
        if missing := [topic for topic in wanted if topic.name not in existing]:
            _refuse_errors(await admin.create_topics(missing))
    finally:
        await admin.close()


def _new_topic(name: str, partitions: int, retention: timedelta, settings: KafkaSettings) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=partitions,
        replication_factor=settings.kafka_replication,
        topic_configs={"retention.ms": str(int(retention.total_seconds() * 1000))},
    )


def _refuse_errors(answer: Any) -> None:
    """Several services create the topics at once; whoever comes second is content."""
    for name, code, *message in answer.topic_errors:
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
