"""Processes of the trainer's Python: each started anew, or forked from one that has imported PyTorch."""

import json
import os
import select
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol, Self

SERVER = Path(__file__).with_name("fork_server.py")
SINGLE_THREADED = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Keeps pyarrow from starting a thread and PyTorch from opening CUDA: neither survives a fork."""

Streams = tuple[IO[Any], IO[Any], IO[Any]]
"""Standard input, output and error."""


class Process(Protocol):
    """The part of `subprocess.Popen` that tests use."""

    pid: int

    def send_signal(self, sig: int) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Launcher(Protocol):
    """Starts `python ARGUMENTS`."""

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], streams: Streams) -> Process: ...


class FreshPython:
    """Starts an interpreter for each process."""

    def __init__(self, python: Path) -> None:
        self._python = python

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], streams: Streams) -> Process:
        stdin, stdout, stderr = streams
        command = [self._python, *arguments]
        return subprocess.Popen(command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr)


class ForkServer:
    """Forks each process from one interpreter that has imported the trainer's libraries."""

    def __init__(self, python: Path, environment: Mapping[str, str]) -> None:
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            self._server = subprocess.Popen([python, SERVER], env={**environment, **SINGLE_THREADED}, stdin=control)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._server.wait(timeout=60)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], streams: Streams) -> Process:
        request = {"arguments": list(arguments), "environment": dict(environment), "folder": str(Path.cwd())}
        read, write = os.pipe()
        with open(write, "wb") as status:
            descriptors = [stream.fileno() for stream in (*streams, status)]
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        return ForkedProcess(open(read, "rb", buffering=0))


class ForkedProcess:
    """A child of the fork server, which writes the process id and then the exit code to `status`."""

    def __init__(self, status: IO[bytes]) -> None:
        self._status = status
        self._exit_code: int | None = None
        self.pid = self._number()

    def send_signal(self, sig: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, sig)

    def wait(self, timeout: float | None = None) -> int:
        if self._exit_code is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self._exit_code = self._number()
            self._status.close()
        return self._exit_code

    def _number(self) -> int:
        number = self._status.read(4)
        assert len(number) == 4, "the fork server has ended"
        return int.from_bytes(number, "little", signed=True)
