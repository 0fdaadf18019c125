"""`fork_server.py`: imports the trainer's libraries once and forks a child for each request on standard input.

Standard input is a SOCK_SEQPACKET socket. A request is JSON, `{"arguments": […], "environment": {…}, "folder": "…"}`,
where the arguments are those of Python: `-m MODULE …`, `-c CODE …` or `SCRIPT …`. Four descriptors come with it: the
child's standard input, output and error, and a pipe. The server writes the child's process id to the pipe and, when the
child has ended, its exit code, each as four bytes. It ends when the socket is closed.
"""

import gc
import json
import os
import runpy
import signal
import socket
import sys
import types
from pathlib import Path
from typing import Any

import brightrun_trainer.offline.pretraining
import brightrun_trainer.training.run  # noqa: F401 - all that a start may import

MAX_REQUEST_BYTES = 1 << 17
THREADS = Path("/proc/self/task")


def serve() -> dict[str, Any]:
    """Fork for each request; returns the request in its child."""
    assert not THREADS.exists() or len(list(THREADS.iterdir())) == 1, "a library has started a thread"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors need no waiting for
    control = socket.socket(fileno=os.dup(0))
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 4)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            supervise(*descriptors)
            return dict(json.loads(message))
        for descriptor in descriptors:
            os.close(descriptor)


def supervise(stdin: int, stdout: int, stderr: int, status: int) -> None:
    """Fork once more and report on the child; returns in the child, with its standard streams in place."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(status, child.to_bytes(4, "little"))
        for descriptor in (0, stdin, stdout, stderr):
            os.close(descriptor)
        _, outcome = os.waitpid(child, 0)
        os.write(status, os.waitstatus_to_exitcode(outcome).to_bytes(4, "little", signed=True))
        os._exit(0)
    for source, target in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
        os.close(source)
    os.close(status)


def execute(request: dict[str, Any]) -> None:
    """Do what Python does with these arguments."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    first, *rest = request["arguments"]
    if first == "-m":
        sys.path[0], sys.argv = request["folder"], rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.path[0], sys.argv = "", ["-c", *rest[1:]]
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(rest[0], vars(module))  # noqa: S102
    else:
        sys.path[0], sys.argv = str(Path(first).parent), [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    execute(serve())
