"""Logging never raises, and repeated warnings are throttled."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from brightrun.runtime import logs
from brightrun.runtime.logs import THROTTLE_BURST, Output, Throttle

WRITES = "from brightrun.runtime import logs; logs.configure('tests'); import logging, structlog\n"
SPEAK = "structlog.get_logger().warning('disk.full'); logging.getLogger('library').error('no space')\n"


@pytest.mark.parametrize("target", ["/dev/full", "closed pipe"])
def test_a_log_that_takes_nothing_does_not_stop_the_process(target: str) -> None:
    if target == "/dev/full":
        output = os.open(target, os.O_WRONLY)
    else:
        reading, output = os.pipe()
        os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", WRITES + SPEAK + "import os; os._exit(7)"], check=False, stdout=output, stderr=output
    )
    os.close(output)
    assert done.returncode == 7


def test_lines_are_whole_again_once_a_file_may_grow(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = (
        WRITES
        + "import resource; soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        + "log = structlog.get_logger(); log.info('before')\n"
        + "resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard)); log.info('cut off'); log.info('lost')\n"
        + "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)); log.info('after')\n"
    )
    with path.open("ab") as file:
        subprocess.run([sys.executable, "-c", script], check=True, stdout=file, stderr=file)
    first, _, last = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in (first, last)] == ["before", "after"]


def test_repeated_warnings_are_throttled_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    throttle = Throttle()
    admitted = [throttle.admit("loop.failed", "outbox.relay") for _ in range(100)]
    assert admitted == [0] * THROTTLE_BURST + [None] * (100 - THROTTLE_BURST)
    assert throttle.admit("loop.failed", "another loop") == 0
    monkeypatch.setattr(logs, "THROTTLE_SECONDS", 0.0)
    assert throttle.admit("loop.failed", "outbox.relay") == 100 - THROTTLE_BURST


def test_only_warnings_and_errors_of_libraries_are_throttled() -> None:
    throttle = Throttle()

    def passed(level: int) -> int:
        records = [logging.LogRecord("aiokafka", level, __file__, 1, "Unable to %s", (n,), None) for n in range(100)]
        return sum(throttle.filter(record) for record in records)

    assert (passed(logging.ERROR), passed(logging.INFO)) == (THROTTLE_BURST, 100)


def test_text_that_is_no_unicode_is_written(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        Output(file.fileno()).write("half a pair \ud800\n")
    assert (tmp_path / "log").read_text() == "half a pair \\ud800\n"
