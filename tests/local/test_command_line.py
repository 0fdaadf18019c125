"""`python -m brightrun.local` serves, exits with one line when it cannot, and leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from brightrun.local import platform
from brightrun.local.errors import StartError
from brightrun.local.installation import Installation
from brightrun.local.program import is_over
from brightrun.local.settings import LocalSettings

ROOT = Path(__file__).parents[2]


class Command:
    """The command with a home of its own, and with a substitute for the trainer's environment."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.port = Installation(folder / "ports").port("api")
        (folder / "models").mkdir()
        self.variables = {
            "BRIGHTRUN_HOME": str(self.home),
            "BRIGHTRUN_API_PORT": str(self.port),
            "BRIGHTRUN_TRAINER_PYTHON": sys.executable,
            "BRIGHTRUN_MODELS": str(folder / "models"),
        }

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[str]]:
        """The process, ended with the block."""
        command = [sys.executable, "-m", "brightrun.local", "run"]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=ROOT, env=os.environ | self.variables, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                yield process
            finally:
                process.terminate()

    def error(self) -> str:
        """The error that it prints when it cannot start."""
        with self.process() as process:
            _, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert error.count("\n") == 1
        return error


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_the_platform_serves_and_a_signal_ends_all_processes(command: Command) -> None:
    with command.process() as process:
        wait_until_it_serves(process)
        assert httpx.get(f"http://127.0.0.1:{command.port}/ready").status_code == 200
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert started
    assert all(is_over(process) for process in started)
    assert not (command.home / "processes.json").exists()


def test_a_port_in_use_is_an_error(command: Command) -> None:
    with socket.create_server(("127.0.0.1", command.port)):
        assert f"port {command.port} is in use: set BRIGHTRUN_API_PORT" in command.error()


def test_a_missing_trainer_environment_is_an_error(command: Command, tmp_path: Path) -> None:
    command.variables["BRIGHTRUN_TRAINER_PYTHON"] = str(tmp_path / "missing")
    assert "run `make setup`" in command.error()


def test_apache_kafka_without_its_folder_is_an_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    command.variables["BRIGHTRUN_KAFKA"] = "apache"
    assert "needs KAFKA_HOME" in command.error()


def test_an_invalid_setting_is_an_error(command: Command) -> None:
    command.variables["BRIGHTRUN_API_PORT"] = "99999"
    assert "BRIGHTRUN_API_PORT" in command.error()


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"is full .* free at least 1 GB"):
        platform.check(LocalSettings(home=tmp_path), min_free_bytes=10**18)


def wait_until_it_serves(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    lines = list[str]()
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            return
    assert process.stderr is not None
    pytest.fail(f"it ended: {lines} {process.stderr.read()}")


def test_variables_of_the_environment_come_before_the_platforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, settings = Installation(tmp_path), LocalSettings(home=tmp_path)
    generated = platform.Platform(installation, settings).services["api"].environment()
    monkeypatch.setenv("BRIGHTRUN_METRICS_TOKEN", "a-token-of-the-operator")
    monkeypatch.setenv("BRIGHTRUN_DEFAULT_GPU", "H100")
    services = platform.Platform(installation, settings).services
    assert generated["BRIGHTRUN_METRICS_TOKEN"] == installation.secret("metrics")
    assert generated["BRIGHTRUN_DEFAULT_GPU"] == "CPU"
    assert services["api"].environment()["BRIGHTRUN_DEFAULT_GPU"] == "H100"
    for name in ("api", "web"):
        assert services[name].environment()["BRIGHTRUN_METRICS_TOKEN"] == "a-token-of-the-operator"
