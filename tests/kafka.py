"""Kafka for the tests: an Apache Kafka where there is one, and a reader of whole topics."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from _pytest.mark import ParameterSet
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer

from brightrun.local.engines import ApacheKafka, ExternalKafka
from brightrun.local.installation import Installation
from tests.waiting import eventually


def docker_answers() -> bool:
    try:
        return bool(docker.from_env(timeout=2).ping())
    except DockerException:
        return False


READ_SECONDS = 120
EMPTY_FETCH_MS = 500
"""Longer than a fetch of a busy broker takes; then there is no more to read."""

IS_GIVEN = "KAFKA_HOME" in os.environ or docker_answers()


def if_given(name: str) -> list[ParameterSet]:
    """A fixture's parameter for Apache Kafka; all tests that use it run on the worker that starts it."""
    return [pytest.param(name, marks=pytest.mark.xdist_group("apache-kafka"))] if IS_GIVEN else []


@contextmanager
def apache_kafka(installation: Installation) -> Iterator[ApacheKafka | ExternalKafka]:
    """The distribution in KAFKA_HOME, else a container."""
    if "KAFKA_HOME" in os.environ:
        with ApacheKafka(installation, Path(os.environ["KAFKA_HOME"])) as engine:
            yield engine
    else:
        with KafkaContainer().with_kraft() as container:
            yield ExternalKafka(container.get_bootstrap_server())


async def read_topic(bootstrap: str, topic: str) -> list[ConsumerRecord[Any, Any]]:
    """Every record of the topic, once it exists."""
    async with _reader(bootstrap) as consumer:

        async def exists() -> bool:
            return topic in await consumer.topics()

        await eventually(exists)  # a busy broker may not know the topic when it is first asked
        return await _read(consumer, [topic])


async def read_all_topics(bootstrap: str) -> list[ConsumerRecord[Any, Any]]:
    """Every record of every topic, dead letters included."""
    async with _reader(bootstrap) as consumer:
        return await _read(consumer, await consumer.topics())


async def republish(bootstrap: str, topic: str) -> None:
    """Write every record of the topic once more."""
    async with _reader(bootstrap) as consumer:
        records = await _read(consumer, {topic} & await consumer.topics())
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        sent = [
            await producer.send(topic, record.value, record.key, partition=record.partition, headers=[*record.headers])
            for record in records
        ]
        await asyncio.gather(*sent)


@asynccontextmanager
async def _reader(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    async with (
        asyncio.timeout(READ_SECONDS),
        AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=20) as consumer,
    ):
        yield consumer


async def _read(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> list[ConsumerRecord[Any, Any]]:
    """Every record of the topics.

    Tansu reports ends that are too low, so reading goes on for as long as a fetch finds records.
    """
    found: list[ConsumerRecord[Any, Any]] = []
    partitions = [TopicPartition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic) or ()]
    firsts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, firsts[partition])
    more = True
    while more or any([await consumer.position(partition) < ends[partition] for partition in partitions]):
        batch = await consumer.getmany(timeout_ms=EMPTY_FETCH_MS)
        more = bool(batch)
        found += [record for records in batch.values() for record in records]
    return found
