"""The whole platform as programs: the engines, the services, and the settings of each service."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from brightrun.local.engines import ROLES, ApacheKafka, ExternalKafka, ObjectStore, Postgres, TansuBroker
from brightrun.local.errors import StartError
from brightrun.local.installation import Installation, is_free
from brightrun.local.pid_files import locked
from brightrun.local.program import LogRotation, Program
from brightrun.local.service import Service
from brightrun.local.settings import APACHE, EMBEDDED, LocalSettings
from brightrun.local.supervisor import Supervisor, Wave

SERVICES = ("api", "scheduler", "tracker", "artifacts", "notifier", "cluster", "web")
CLUSTER_CLIENTS = ("scheduler", "artifacts", "cluster")
MIN_FREE_BYTES = 1_000_000_000
EMBEDDED_KAFKA = {"KAFKA_FETCH_WAIT_MS": "100", "KAFKA_SESSION_MS": "4000"}
"""The embedded broker delays every empty fetch and every join of a consumer group by about half of these.

Fetches are most of what an idle platform does: a longer wait costs less of the CPU. The environment may set others.
"""


class Platform:
    """The programs of one installation, and the settings that connect them."""

    def __init__(self, installation: Installation, settings: LocalSettings, names: Sequence[str] = SERVICES) -> None:
        self.installation = installation
        self._settings = settings
        self.postgres = Postgres(installation)
        self.store = ObjectStore(installation)
        self.broker = self._choose_broker()
        public = {"api": settings.api_port, "web": settings.web_port}
        ports = {name: public.get(name) or installation.port(name) for name in SERVICES}
        self._urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.services = {name: Service(installation, name, ports[name], self._environment(name)) for name in names}
        for name, service in self.services.items():
            service.needs = self._needs_of(name)

    @property
    def api_url(self) -> str:
        """Where users reach the platform."""
        return self._urls["api"]

    @property
    def web_url(self) -> str:
        """Where the pages are."""
        return self._urls["web"]

    @property
    def waves(self) -> list[Wave]:
        """The programs in groups; each group is stopped before the one in front of it."""
        engines: list[Wave] = [(self.store, self.postgres)]
        if not isinstance(self.broker, ExternalKafka):
            engines.append((self.broker,))
        return [*engines, tuple(self.services.values())]

    def _choose_broker(self) -> TansuBroker | ApacheKafka | ExternalKafka:
        kafka, kafka_home = self._settings.kafka, self._settings.kafka_home
        if kafka == EMBEDDED:
            return TansuBroker(self.installation, self.store)
        if kafka != APACHE:
            return ExternalKafka(kafka)
        if kafka_home is None:
            raise StartError("BRIGHTRUN_KAFKA=apache needs KAFKA_HOME, the folder of an Apache Kafka distribution")
        return ApacheKafka(self.installation, kafka_home)

    def _needs_of(self, service: str) -> tuple[Program, ...]:
        """Services wait for Kafka themselves, so that they load while it starts."""
        if service == "artifacts":
            return self.postgres, self.store
        return (self.postgres,) if service in ROLES else ()

    def _environment(self, service: str) -> dict[str, str]:
        variables = {f"{name.upper()}_URL": url for name, url in self._urls.items() if name != service}
        variables |= {"SERVICE_SECRET": self.installation.secret("service")}
        if service in ROLES:
            variables |= self._slice(service)
        if service in CLUSTER_CLIENTS:
            variables |= self._cluster_access()
        if service == "artifacts":
            variables |= self._storage()
        if service == "cluster":
            variables |= self._cluster()
        if service == "api":
            variables |= {"DEFAULT_GPU": "CPU", "TRUSTED_PROXIES": "127.0.0.1"}
        if service in ("api", "web"):
            variables |= {"METRICS_TOKEN": self.installation.secret("metrics")}
        if service == "notifier":
            variables |= {"WEBHOOK_KEY": self.installation.secret("webhooks")}
        if service == "web":
            variables |= {"WEB_SECRET": self.installation.secret("web")}
        return {f"BRIGHTRUN_{name}": value for name, value in variables.items()}

    def _slice(self, service: str) -> dict[str, str]:
        variables = {
            "DATABASE_URL": self.postgres.url(service),
            "KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "KAFKA_IDEMPOTENCE": str(self.broker.idempotence).lower(),
        }
        if isinstance(self.broker, TansuBroker):
            variables |= {name: os.environ.get(f"BRIGHTRUN_{name}", value) for name, value in EMBEDDED_KAFKA.items()}
        return variables

    def _cluster_access(self) -> dict[str, str]:
        return {
            "CLUSTER_NAME": "local",
            "CLUSTER_KEY": self.installation.secret("cluster.key"),
            "CALLBACK_SECRET": self.installation.secret("cluster.callbacks"),
        }

    def _storage(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT": self.store.endpoint,
            "S3_REGION": self.store.region,
            "S3_ACCESS_KEY": self.store.access_key,
            "S3_SECRET_KEY": self.store.secret_key,
        }

    def _cluster(self) -> dict[str, str]:
        return {
            "CLUSTER_HOME": str(self.installation.folder("cluster")),
            "TRAINER_PYTHON": str(self._settings.trainer_python.absolute()),
            "MODELS": str(self._settings.models.absolute()),
        }


@contextmanager
def running(settings: LocalSettings, say: Callable[[str], None]) -> Iterator[Platform]:
    """The platform, running inside the block. Raises StartError when it cannot run here."""
    installation = Installation(settings.home)
    with locked(installation, say) as pid_file:
        check(settings)
        platform = Platform(installation, settings)
        with Supervisor(platform.waves, pid_file, say, LogRotation(settings.log_max_bytes, settings.log_backups)):
            yield platform


def check(settings: LocalSettings, min_free_bytes: int = MIN_FREE_BYTES) -> None:
    """Raise StartError when something that the platform needs is missing."""
    free = shutil.disk_usage(settings.home).free
    if free < min_free_bytes:
        raise StartError(f"the disk of {settings.home} is full ({free // 1_000_000} MB free): free at least 1 GB")
    for name, port in (("API", settings.api_port), ("WEB", settings.web_port)):
        if not is_free(port):
            raise StartError(f"port {port} is in use: set BRIGHTRUN_{name}_PORT to another one")
    if not settings.trainer_python.exists():
        raise StartError(f"there is no trainer environment at {settings.trainer_python}: run `make setup`")
    if not settings.models.is_dir():
        raise StartError(f"there is no folder of base models at {settings.models}: run `make setup`")
