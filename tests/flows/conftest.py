"""The whole platform, as `make run` starts it, on each broker there is."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from brightrun.local.settings import LocalSettings
from tests import kafka
from tests.flows.live_platform import ROOT, LivePlatform, start_platform

BROKERS = ["embedded", *kafka.if_given("apache")]


@pytest.fixture(scope="package")
def settings() -> LocalSettings:
    """With the trainer's environment and the tiny base model that `make test` has built."""
    settings = LocalSettings(trainer_python=ROOT / ".trainer-venv/bin/python", models=ROOT / ".cache/models")
    assert settings.trainer_python.exists(), "there is no trainer environment: run `make setup`"
    assert (settings.models / "tiny").exists(), "there is no tiny base model: run `make setup`"
    return settings


@pytest.fixture(scope="package", autouse=True)
def _inherited_settings() -> Iterator[None]:
    """The services send webhooks to this machine only, and ask the embedded broker less often."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BRIGHTRUN_WEBHOOK_PRIVATE_HOSTS", "localhost")
        environment.setenv("BRIGHTRUN_KAFKA_FETCH_WAIT_MS", "300")
        yield


@pytest.fixture(scope="package")
def platform(settings: LocalSettings) -> Iterator[LivePlatform]:
    """One platform for all flows."""
    with TemporaryDirectory(prefix="brightrun-flows-") as home, start_platform(Path(home), settings) as platform:
        yield platform


@pytest.fixture(params=BROKERS)
def platform_on_each_broker(request: pytest.FixtureRequest, settings: LocalSettings) -> Iterator[LivePlatform]:
    """The platform that all flows share, and one of its own on Apache Kafka where that is given."""
    if request.param == "embedded":
        yield request.getfixturevalue("platform")
    else:
        bootstrap = request.getfixturevalue("apache_kafka").bootstrap
        with (
            TemporaryDirectory(prefix="brightrun-flows-") as home,
            start_platform(Path(home), settings, bootstrap) as platform,
        ):
            yield platform
