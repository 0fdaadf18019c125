"""What tests and benchmarks start ends with them, even if they are killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until
from tests.watchdog import ROOT

START = """
import subprocess, sys, threading
from pathlib import Path
from brightrun.local.engines import ObjectStore, Postgres, TansuBroker
from brightrun.local.installation import Installation
from tests.watchdog import watch

watch()
home = Installation(Path(sys.argv[1]))
store = ObjectStore(home)
engines = [Postgres(home), store, TansuBroker(home, store)]

def start():
    for engine in engines:
        engine.start()
    sleep = [sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]]
    # As a cluster starts its trainers: in a session of their own, with little of the environment.
    trainer = f"import subprocess, time; subprocess.Popen({sleep}, env={{}}, start_new_session=True); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", trainer], start_new_session=True)
    orphan = f"import subprocess; subprocess.Popen({sleep}, start_new_session=True)"
    subprocess.run([sys.executable, "-c", orphan])

starter = threading.Thread(target=start)
starter.start()
starter.join()
print("started", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end_by", [signal.SIGKILL, signal.SIGTERM])
def test_engines_end_with_a_killed_process(tmp_path: Path, end_by: signal.Signals) -> None:
    command = [sys.executable, "-c", START, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        assert len(_processes_of(tmp_path)) >= 6
        os.kill(parent.pid, end_by)
        parent.wait()
    wait_until(lambda: _processes_of(tmp_path) == [])


def _processes_of(home: Path) -> list[psutil.Process]:
    """The processes that name the folder in their command lines, in their environment or as their folder."""
    found = []
    for process in psutil.process_iter():
        try:
            names = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except psutil.Error:
            continue
        if any(str(home) in name for name in names):
            found.append(process)
    return found
