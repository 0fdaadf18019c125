"""Kafka for the tests: an Apache Kafka where there is one, and a reader of whole topics."""

import asyncio
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from _pytest.mark import ParameterSet
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
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


READ_SECONDS = 900
"""Tansu delivers some hundred records a second of many small batches."""
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
    return await _read(bootstrap, {topic})


async def read_all_topics(bootstrap: str) -> list[ConsumerRecord[Any, Any]]:
    """Every record of every topic, dead letters included."""
    return await _read(bootstrap, await _list_topics(bootstrap))


async def republish(bootstrap: str, topic: str) -> None:
    """Write every record of the topic once more."""
    records = await _read(bootstrap, {topic} & await _list_topics(bootstrap))
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        sent = [
            await producer.send(topic, record.value, record.key, partition=record.partition, headers=[*record.headers])
            for record in records
        ]
        await asyncio.gather(*sent)


async def _list_topics(bootstrap: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return {topic for topic in await admin.list_topics() if not topic.startswith("__")}
    finally:
        await admin.close()


async def _read(bootstrap: str, topics: Collection[str]) -> list[ConsumerRecord[Any, Any]]:
    """Every record that the topics have now.

    Tansu reports ends that are too low, so reading goes on until a fetch finds nothing, or only later records.
    """
    if not topics:
        return []
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
        metadata_max_age_ms=500,  # a busy broker may not know a topic when it is first asked
    )

    async def has_all() -> bool:
        return {partition.topic for partition in consumer.assignment()} == set(topics)

    async with asyncio.timeout(READ_SECONDS), consumer:
        await eventually(has_all)
        began = time.time() * 1000
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[ConsumerRecord[Any, Any]] = []
        more = True
        while more or any([await consumer.position(partition) < end for partition, end in ends.items()]):
            batch = await consumer.getmany(timeout_ms=EMPTY_FETCH_MS)
            records = [record for records in batch.values() for record in records]
            more = any(record.timestamp < began for record in records)
            found += records
    return found
