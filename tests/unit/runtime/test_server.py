"""The HTTP server's end."""

import json
import signal
import socket
import subprocess
import sys

from tests.waiting import wait_until

SCRIPT = """
import asyncio, sys
from fastapi import Request
from brightrun.runtime import server
from brightrun.runtime.http import create_app
from brightrun.runtime.settings import ServiceSettings

app = create_app("uploads")

@app.post("/")
async def upload(request: Request) -> None:
    async for piece in request.stream():
        print(piece, flush=True)

server.STOP_SECONDS = 1
asyncio.run(server.serve_http(app, ServiceSettings(port=int(sys.argv[1]))))
"""


def test_an_upload_that_a_stop_interrupts_answers_503_in_the_json_shape() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SCRIPT, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        with wait_until(lambda: _connect(port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            assert process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            client.settimeout(30)
            response = b""
            while piece := client.recv(4096):
                response += piece
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after:" in head.lower()
    assert json.loads(body)["code"] == "unavailable"


def _connect(port: int) -> socket.socket | None:
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=5)
    except ConnectionRefusedError:
        return None
