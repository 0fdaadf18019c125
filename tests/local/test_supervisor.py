"""The supervisor restarts programs and leaves no process behind, however it ends."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from brightrun.local.errors import StartError
from brightrun.local.installation import Installation
from brightrun.local.pid_files import PidFile, locked
from brightrun.local.program import LogRotation, Program, is_over
from brightrun.local.supervisor import Supervisor
from tests.waiting import eventually

GRACE_SECONDS = 0.5

CHILD_THAT_IGNORES_SIGTERM = (
    "import signal, time, pathlib, os; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path('grandchild').write_text(str(os.getpid())); time.sleep(600)"
)
PARENT = (
    "import os, subprocess, sys, time; os.chdir(sys.argv[1]);"
    f"subprocess.Popen([sys.executable, '-c', {CHILD_THAT_IGNORES_SIGTERM!r}], start_new_session=True);"
    "time.sleep(600)"
)


class Parent(Program):
    """A program whose child ignores SIGTERM in a session of its own, as a cluster's training run may."""

    grace_seconds = GRACE_SECONDS

    def command(self) -> list[str]:
        return [sys.executable, "-c", PARENT, str(self.installation.folder(self.name))]

    def is_ready(self) -> bool:
        return bool(self._note().exists() and self._note().read_text())

    def grandchild(self) -> psutil.Process:
        return psutil.Process(int(self._note().read_text()))

    def _note(self) -> Path:
        return self.installation.folder(self.name) / "grandchild"


class Broken(Program):
    """A program that ends at once."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('no luck today')"]

    def is_ready(self) -> bool:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@contextmanager
def supervised(home: Installation, programs: Sequence[Program], lines: list[str]) -> Iterator[None]:
    with locked(home, lines.append, GRACE_SECONDS) as pid_file, Supervisor([programs], pid_file, lines.append):
        yield


async def test_nothing_is_left_of_a_program_and_what_it_started(home: Installation) -> None:
    parent = Parent(home, "parent")
    with supervised(home, [parent], []):
        processes = [psutil.Process(parent.pid), parent.grandchild()]
    assert all(is_over(process) for process in processes)


async def test_a_program_that_dies_is_started_again_and_the_user_is_told(home: Installation) -> None:
    parent, lines = Parent(home, "parent"), list[str]()
    with supervised(home, [parent], lines):
        first, orphan = parent.pid, parent.grandchild()
        parent.kill()

        async def started_again() -> bool:
            return parent.pid != first and parent.returncode is None

        await eventually(started_again)
        assert not is_over(orphan)
    assert "parent ended (exit status -9), starting it again in 1 s" in lines
    assert is_over(orphan)


async def test_a_full_disk_does_not_end_the_supervision(home: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    parent = Parent(home, "parent")
    with supervised(home, [parent], []):
        first = parent.pid
        with monkeypatch.context() as full:
            full.setattr(PidFile, "update", no_space)
            parent.kill()

            async def started_again() -> bool:
                return parent.pid != first and parent.returncode is None

            await eventually(started_again)


async def test_a_program_that_was_stopped_on_purpose_stays_stopped(home: Installation) -> None:
    first, second, lines = Parent(home, "first"), Parent(home, "second"), list[str]()
    with supervised(home, [first, second], lines):
        first.stop()
        second.kill()

        async def second_is_back() -> bool:
            return second.returncode is None

        await eventually(second_is_back)
        assert first.pid is None


async def test_what_a_killed_supervisor_left_is_ended_by_the_next(home: Installation) -> None:
    left = leave_behind(home)
    lines = list[str]()
    with locked(home, lines.append, GRACE_SECONDS):
        assert all(is_over(process) for process in left)
    assert lines == [f"ending {len(left)} processes that an earlier run left behind"]


def test_a_process_that_got_the_id_of_a_leftover_is_spared(home: Installation) -> None:
    (home.home / "processes.json").write_text(json.dumps([{"pid": os.getpid(), "created": 1.0}]))
    with locked(home, pytest.fail):
        pass


class Chatty(Program):
    """A program that writes numbered lines for ever."""

    def command(self) -> list[str]:
        script = "import itertools, time\nfor n in itertools.count(): print(f'{n:099}', flush=True); time.sleep(0.001)"
        return [sys.executable, "-c", script]

    def is_ready(self) -> bool:
        return "0" in self.log_since_start()


async def test_logs_are_rotated_and_bounded_in_number(home: Installation) -> None:
    chatty, log = Chatty(home, "chatty"), home.log("chatty")
    rotated = [log.with_name(f"chatty.log.{number}") for number in (1, 2)]

    async def rotated_thrice() -> bool:
        return rotated[1].exists() and int(rotated[1].read_text().splitlines()[0]) > 0

    with locked(home, pytest.fail) as pid_file:
        with Supervisor([[chatty]], pid_file, [].append, LogRotation(max_bytes=20_000, backups=2)):
            await eventually(rotated_thrice)
        assert sorted(log.parent.iterdir()) == [log, *rotated]
    oldest, newest = (rotated[place].read_text().splitlines() for place in (1, 0))
    assert int(oldest[-1]) < int(newest[0])
    assert int(newest[-1]) - int(newest[0]) == len(newest) - 1


def test_an_installation_is_held_by_one_supervisor(home: Installation) -> None:
    with locked(home, pytest.fail), pytest.raises(StartError, match="already runs in"), locked(home, pytest.fail):
        pass


def test_a_program_that_does_not_come_up_takes_the_others_down(home: Installation) -> None:
    parent = Parent(home, "parent")
    programs = [parent, Broken(home, "broken")]
    with pytest.raises(StartError, match=r"broken ended .*no luck today"), supervised(home, programs, []):
        pass
    assert parent.pid is None
    assert not (home.home / "processes.json").exists()


SUPERVISOR = """
import sys, time
from pathlib import Path
from brightrun.local.installation import Installation
from tests.local.test_supervisor import Parent, supervised
home = Installation(Path(sys.argv[1]))
with supervised(home, [Parent(home, "parent")], []):
    print("up", flush=True)
    time.sleep(600)
"""


def leave_behind(home: Installation) -> list[psutil.Process]:
    """Kill a supervisor once its program is up; returns what it left running."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SUPERVISOR, str(home.home)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "up\n"
        left = psutil.Process(supervisor.pid).children(recursive=True)
        supervisor.send_signal(signal.SIGKILL)
    assert left
    assert not any(is_over(process) for process in left)
    return left
