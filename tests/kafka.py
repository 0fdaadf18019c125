"""Apache Kafka for the tests: the distribution in KAFKA_HOME, else a container where Docker answers, else none."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from _pytest.mark import ParameterSet
from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer

from brightrun.local.engines import ApacheKafka, ExternalKafka
from brightrun.local.installation import Installation


def docker_answers() -> bool:
    try:
        return bool(docker.from_env(timeout=2).ping())
    except DockerException:
        return False


IS_GIVEN = "KAFKA_HOME" in os.environ or docker_answers()


def if_given(name: str) -> list[ParameterSet]:
    """A fixture's parameter for Apache Kafka; all tests that use it run on the worker that starts it."""
    return [pytest.param(name, marks=pytest.mark.xdist_group("apache-kafka"))] if IS_GIVEN else []


@contextmanager
def apache_kafka(installation: Installation) -> Iterator[ApacheKafka | ExternalKafka]:
    if "KAFKA_HOME" in os.environ:
        with ApacheKafka(installation, Path(os.environ["KAFKA_HOME"])) as engine:
            yield engine
    else:
        with KafkaContainer().with_kraft() as container:
            yield ExternalKafka(container.get_bootstrap_server())
