"""The whole platform, as `make run` starts it, on each broker there is."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from brightrun.local.settings import LocalSettings
from tests import kafka
from tests.flows.house import ROOT, House, open_house

BROKERS = ["embedded", *kafka.if_given("apache")]


@pytest.fixture(scope="package")
def settings() -> LocalSettings:
    """Where the trainer's environment and the tiny base model are; `make test` has built both."""
    found = LocalSettings(trainer_python=ROOT / ".trainer-venv/bin/python", models=ROOT / ".cache/models")
    assert found.trainer_python.exists(), "there is no trainer environment: run `make setup`"
    assert (found.models / "tiny").exists(), "there is no tiny base model: run `make setup`"
    return found


@pytest.fixture(scope="package", autouse=True)
def _webhooks_within_this_machine() -> Iterator[None]:
    """The platform's services inherit it: tests send nothing to anywhere else."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BRIGHTRUN_WEBHOOK_PRIVATE_HOSTS", "localhost")
        yield


@pytest.fixture(scope="package")
def house(settings: LocalSettings) -> Iterator[House]:
    """One platform for all flows."""
    with TemporaryDirectory(prefix="brightrun-flows-") as home, open_house(Path(home), settings) as house:
        yield house


@pytest.fixture(params=BROKERS)
def house_on_each_broker(request: pytest.FixtureRequest, settings: LocalSettings) -> Iterator[House]:
    """The platform that all flows share, and one of its own on Apache Kafka where that is given."""
    if request.param == "embedded":
        yield request.getfixturevalue("house")
    else:
        bootstrap = request.getfixturevalue("apache_kafka").bootstrap
        with (
            TemporaryDirectory(prefix="brightrun-flows-") as home,
            open_house(Path(home), settings, bootstrap) as house,
        ):
            yield house
