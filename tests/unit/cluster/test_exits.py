"""What the signal that ended a trainer means."""

import signal

import pytest

from brightrun.cluster.executors.exits import explain

TIMEOUT = b"[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)"


@pytest.mark.parametrize(
    ("number", "log", "out_of_memory", "code", "words"),
    [
        (signal.SIGKILL, b"", True, "trainer_killed", "memory was used up"),
        (signal.SIGKILL, b"", False, "trainer_killed", "from outside (SIGKILL)"),
        (signal.SIGTERM, b"", True, "trainer_killed", "from outside (SIGTERM)"),
        (signal.SIGABRT, TIMEOUT, False, "gpu_timeout", "NCCL time-out"),
        (signal.SIGABRT, b"", False, "trainer_crashed", "SIGABRT"),
        (signal.SIGSEGV, b"", True, "trainer_crashed", "SIGSEGV"),
        (60, b"", False, "trainer_crashed", "signal 60"),
    ],
)
def test_a_signal_has_a_cause(number: int, log: bytes, out_of_memory: bool, code: str, words: str) -> None:
    error = explain(number, log, out_of_memory)
    assert (error.code, error.retryable) == (code, True)
    assert words in error.message
    assert error.advice
