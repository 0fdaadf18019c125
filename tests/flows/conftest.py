"""The whole platform, as `make run` starts it, on each broker there is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from brightrun.local.installation import Installation
from brightrun.local.platform import running
from brightrun.local.settings import LocalSettings
from tests import kafka
from tests.flows.house import ROOT, House

BROKERS = ["embedded", "apache"] if kafka.IS_GIVEN else ["embedded"]


@pytest.fixture(scope="session")
def settings() -> LocalSettings:
    """Where the trainer's environment and the tiny base model are; `make test` has built both."""
    found = LocalSettings(trainer_python=ROOT / ".trainer-venv/bin/python", models=ROOT / ".cache/models")
    assert found.trainer_python.exists(), "there is no trainer environment: run `make setup`"
    assert (found.models / "tiny").exists(), "there is no tiny base model: run `make setup`"
    return found


@pytest.fixture(scope="session")
def house(settings: LocalSettings) -> Iterator[House]:
    """One platform for all flows."""
    with _open_house(settings, "embedded") as house:
        yield house


@pytest.fixture(params=BROKERS)
def house_on_each_broker(request: pytest.FixtureRequest, settings: LocalSettings) -> Iterator[House]:
    """The platform that all flows share, and one of its own on Apache Kafka where a distribution is given."""
    if request.param == "embedded":
        yield request.getfixturevalue("house")
    else:
        with (
            TemporaryDirectory(prefix="brightrun-flows-") as home,
            kafka.apache_kafka(Installation(Path(home))) as broker,
            _open_house(settings, broker.bootstrap) as house,
        ):
            yield house


@contextmanager
def _open_house(settings: LocalSettings, broker: str) -> Iterator[House]:
    with TemporaryDirectory(prefix="brightrun-flows-") as folder:
        home = Path(folder)
        ports = Installation(home)
        changes = {
            "home": home,
            "api_port": ports.port("test.api"),
            "web_port": ports.port("test.web"),
            "kafka": broker,
        }
        lines: list[str] = []
        with running(settings.model_copy(update=changes), lines.append) as platform:
            yield House(platform, settings, home)
