"""Kafka for the tests: an Apache Kafka where there is one, and a reader of whole topics."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from _pytest.mark import ParameterSet
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
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
    """Every record of the topic."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
        metadata_max_age_ms=500,  # a busy broker may not know the topic when it is first asked
    )

    async def partitions() -> frozenset[TopicPartition]:
        return consumer.assignment()

    async with consumer:
        ends = await consumer.end_offsets(await eventually(partitions))
        records: list[ConsumerRecord[Any, Any]] = []
        while sum(ends.values()) > len(records):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(batch)
    return records


async def read_all_topics(bootstrap: str) -> list[ConsumerRecord[Any, Any]]:
    """Every record of every topic, dead letters included.

    Tansu reports ends that are too low, so reading goes on for as long as a fetch finds records.
    """
    found: list[ConsumerRecord[Any, Any]] = []
    async with (
        AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=20) as consumer,
        asyncio.timeout(READ_SECONDS),
    ):
        topics = await consumer.topics()
        partitions = [TopicPartition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic) or ()]
        firsts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        written = [partition for partition in partitions if firsts[partition] < ends[partition]]
        consumer.assign(written)
        for partition in written:
            consumer.seek(partition, firsts[partition])
        more = False
        while more or any([await consumer.position(partition) < ends[partition] for partition in written]):
            batch = await consumer.getmany(timeout_ms=1000)
            more = bool(batch)
            found += [record for records in batch.values() for record in records]
    return found
