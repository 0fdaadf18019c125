"""A stand-in for the rest of the platform: serves data sets and takes callbacks."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from brightrun.contracts.cluster_api import RunCallback
from brightrun.contracts.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, valid
from brightrun.contracts.values import new_id

CALLBACK_SECRET = "the-callback-secret-of-the-tests"


class FakePlatform:
    """A data set without content is never answered until `close`."""

    def __init__(self) -> None:
        self.datasets: dict[str, bytes | None] = {}
        self.callbacks: list[RunCallback] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add_dataset(self, content: bytes | None) -> str:
        name = new_id().hex
        self.datasets[f"/{name}"] = content
        return f"{self.url}/{name}?signature=a-secret-signature"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = platform.datasets.get(self.path.partition("?")[0], b"")
                if content is None:
                    platform.closing.wait()
                self.send_response(200 if content else 404)
                self.send_header("content-length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert valid(CALLBACK_SECRET, body, self.headers[TIMESTAMP_HEADER], self.headers[SIGNATURE_HEADER])
                platform.callbacks.append(RunCallback.model_validate_json(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
