"""Settings of an installation."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

EMBEDDED, APACHE = "embedded", "apache"


class LocalSettings(BaseSettings):
    """Where the platform runs and on what.

    `kafka`: `embedded`, `apache` (one node of the distribution in KAFKA_HOME) or host:port of a Kafka that runs.
    A log of more than `log_max_bytes` is rotated; `log_backups` rotated ones are kept of each program.
    """

    model_config = SettingsConfigDict(env_prefix="BRIGHTRUN_", frozen=True)

    home: Path = Path(".brightrun")
    api_port: int = Field(8000, ge=1, le=65535)
    web_port: int = Field(8080, ge=1, le=65535)
    kafka: str = Field(EMBEDDED, pattern=rf"^({EMBEDDED}|{APACHE}|[^\s:]+:\d+)$")
    kafka_home: Path | None = Field(None, validation_alias="KAFKA_HOME")
    trainer_python: Path = Path(".trainer-venv/bin/python")
    models: Path = Path(".cache/models")
    log_max_bytes: int = Field(10_000_000, ge=100_000)
    log_backups: int = Field(3, ge=0, le=100)
