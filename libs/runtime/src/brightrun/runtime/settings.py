"""Settings that several services share; each service's own `Settings` is composed of these."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class EnvironmentSettings(BaseSettings):
    """Settings read from environment variables that begin with `BRIGHTRUN_`."""

    model_config = SettingsConfigDict(env_prefix="BRIGHTRUN_", frozen=True)


class ServiceSettings(EnvironmentSettings):
    """What every process with an HTTP port needs."""

    host: str = "127.0.0.1"
    port: int
    log_level: str = "INFO"


class KafkaSettings(EnvironmentSettings):
    """The broker. `kafka_idempotence` is off only for brokers without the idempotent producer.

    `kafka_fetch_wait_ms`: how long the broker may hold an empty fetch. Kafka answers as soon as a record comes; the
    embedded broker waits out about half of it. `kafka_session_ms`: how long a reader may be silent before another
    gets its partitions; the embedded broker also lets every join wait for half of it.
    """

    kafka_bootstrap: str
    kafka_idempotence: bool = True
    kafka_fetch_wait_ms: int = 500
    kafka_session_ms: int = 10_000
    kafka_replication: int = 1


class SliceSettings(ServiceSettings, KafkaSettings):
    """A service with a slice: its part of PostgreSQL by its own login role, Kafka, and calls between services.

    `service_secret` signs those calls; at least 32 bytes.
    """

    database_url: SecretStr
    database_pool_size: int = 10
    service_secret: SecretStr
