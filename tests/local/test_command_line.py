"""`python -m brightrun.local` serves, refuses in one line when it cannot, and leaves nothing behind."""

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


class Call:
    """One call of the command line, in a home of its own and with a stand-in for the trainer's environment."""

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

    def refusal(self) -> str:
        """What it says when it refuses to start."""
        with self.process() as process:
            _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert said.count("\n") == 1
        return said


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(tmp_path)


def test_the_platform_serves_and_a_signal_ends_all_of_it(call: Call) -> None:
    with call.process() as process:
        wait_until_it_serves(process)
        assert httpx.get(f"http://127.0.0.1:{call.port}/ready").status_code == 200
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert started
    assert all(is_over(one) for one in started)
    assert not (call.home / "processes.json").exists()


def test_a_port_in_use_is_refused(call: Call) -> None:
    with socket.create_server(("127.0.0.1", call.port)):
        assert f"port {call.port} is in use: set BRIGHTRUN_API_PORT" in call.refusal()


def test_a_missing_trainer_environment_is_refused(call: Call, tmp_path: Path) -> None:
    call.variables["BRIGHTRUN_TRAINER_PYTHON"] = str(tmp_path / "missing")
    assert "run `make setup`" in call.refusal()


def test_apache_kafka_without_its_folder_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    call.variables["BRIGHTRUN_KAFKA"] = "apache"
    assert "needs KAFKA_HOME" in call.refusal()


def test_a_setting_that_makes_no_sense_is_refused(call: Call) -> None:
    call.variables["BRIGHTRUN_API_PORT"] = "99999"
    assert "BRIGHTRUN_API_PORT" in call.refusal()


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "MINIMUM_FREE_BYTES", 10**18)
    with pytest.raises(StartError, match=r"is full .* free at least 1 GB"):
        platform.check(LocalSettings(home=tmp_path))


def wait_until_it_serves(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    lines = list[str]()
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            return
    assert process.stderr is not None
    pytest.fail(f"it ended: {lines} {process.stderr.read()}")
