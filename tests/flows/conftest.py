"""The whole platform, as `make run` starts it, on each broker there is."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from brightrun.local.installation import Installation
from brightrun.local.platform import Platform, running
from brightrun.local.settings import LocalSettings
from tests.flows.house import ROOT, House

BROKERS = ["embedded", "apache"] if "KAFKA_HOME" in os.environ else ["embedded"]


@pytest.fixture(scope="session")
def settings() -> LocalSettings:
    """Where the trainer's environment and the tiny base model are; `make test` has built both."""
    found = LocalSettings(trainer_python=ROOT / ".trainer-venv/bin/python", models=ROOT / ".cache/models")
    assert found.trainer_python.exists(), "there is no trainer environment: run `make setup`"
    assert (found.models / "tiny").exists(), "there is no tiny base model: run `make setup`"
    return found


@pytest.fixture(scope="session", params=BROKERS)
def house(request: pytest.FixtureRequest, settings: LocalSettings) -> Iterator[House]:
    """One platform for all flows on a broker."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="brightrun-flows-")))
        ports = Installation(home)
        changes = {
            "home": home,
            "api_port": ports.port("test.api"),
            "web_port": ports.port("test.web"),
            "kafka": request.param,
        }
        lines: list[str] = []
        platform: Platform = stack.enter_context(running(settings.model_copy(update=changes), lines.append))
        yield House(platform, settings, home)
