"""The platform's clients: users who submit jobs until each is accepted, and the receiver of their webhooks."""

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx

from tests.faults.ledgers import Row
from tests.waiting import wait_until

RETRY_SECONDS = 0.5
ACCEPT_SECONDS = 240.0
"""How long a request is repeated."""
MAX_COST = 0.5001
"""Little more than the fee for storing a model."""
TERMINAL = ("completed", "failed", "cancelled")
UNTIMELY = ("not_retryable", "no_checkpoint")


class Sink:
    """A receiver of webhooks that writes down each one. At `/hang` it never answers."""

    def __init__(self) -> None:
        self.received: list[Row] = []
        self.stopping = threading.Event()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/hang":
                    sink.stopping.wait()
                    return
                sink.received.append({"id": self.headers["webhook-id"]})
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://localhost:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator["Sink"]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class Client:
    """A user who submits small jobs, and cancels, pauses, resumes, finishes and retries some.

    A request for a job that fails is repeated with its idempotency key.
    """

    def __init__(self, url: str, webhook: str, dataset: Path, rng: random.Random, ledger: list[Row]) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)
        self._rng = rng
        self._ledger = ledger
        self._cancelled: list[str] = []
        self._paused: list[str] = []
        self.refusals: list[str] = []
        account = {"email": f"{uuid4().hex[:12]}@example.com", "password": "a long enough password"}
        self.token: str = self._http.post("/api/auth/register", json=account).raise_for_status().json()["data"]["token"]
        self._http.headers["authorization"] = f"Bearer {self.token}"
        self._http.post("/api/webhooks", json={"url": webhook}).raise_for_status()
        uploaded = self._http.post("/api/datasets", params={"name": "faults"}, content=dataset.read_bytes())
        self._dataset = uploaded.raise_for_status().json()["data"]["id"]
        wait_until(lambda: self._http.get(f"/api/datasets/{self._dataset}").json()["data"]["status"] == "ready")

    def submit_until(self, stopping: threading.Event, pause: float) -> None:
        """Submit one job after the other. All that was paused is resumed in the end. An error of ours is a refusal."""
        try:
            self._submit_until(stopping, pause)
        except Exception as error:
            self.refusals.append(f"a client gave up: {error!r}")
            raise

    def _submit_until(self, stopping: threading.Event, pause: float) -> None:
        while not stopping.wait(self._rng.uniform(0, 2 * pause)):
            job_id = self._submit()
            if job_id:
                self._change_mind(job_id)
            if self._cancelled and self._rng.random() < 0.3:
                self._retry(self._cancelled.pop(0))
            if self._paused and self._rng.random() < 0.5:
                self._resume(self._paused.pop(0))
        for job_id in self._paused:
            self._resume(job_id)

    def _submit(self) -> str | None:
        hyperparameters = {"learning_rate": 1e-3, "rank": 8, "batch_size": 8, "max_steps": self._rng.randint(5, 60)}
        if self._rng.random() < 0.3:
            hyperparameters["max_cost"] = MAX_COST
        body = {
            "dataset_id": self._dataset,
            "preset_id": "custom",
            "gpu_config": {"type": "CPU", "count": 1},
            "hyperparameters": hyperparameters,
        }
        return self._create("/api/jobs", body)

    def _change_mind(self, job_id: str) -> None:
        """What is requested may be done although its response is lost."""
        request = self._rng.choices(["", "cancel", "pause", "finish"], [70, 15, 10, 5])[0]
        if request:
            {"cancel": self._cancelled, "pause": self._paused}.get(request, []).append(job_id)
            with suppress(httpx.HTTPError):
                self._http.post(f"/api/jobs/{job_id}/{request}")

    def _retry(self, job_id: str) -> None:
        """Try a cancelled job again, unless it is not over yet or has completed."""
        self._create(f"/api/jobs/{job_id}/retry", {"from_checkpoint": self._rng.random() < 0.5})

    def _resume(self, job_id: str) -> None:
        """Resume a job as soon as it is paused, unless it is over."""
        for resumed in self._responses(f"/api/jobs/{job_id}/resume", {}):
            details = resumed.json().get("details")
            if resumed.is_success or (isinstance(details, dict) and details.get("status") in TERMINAL):
                return

    def _create(self, path: str, body: Row) -> str | None:
        """The id of a new job, written down once it is accepted; None if it cannot be."""
        key = str(UUID(int=self._rng.getrandbits(128)))
        for response in self._responses(path, body, {"idempotency-key": key}):
            if response.is_success:
                job = response.json()["data"]
                self._ledger.append({"key": key, "job_id": job["id"], "max_cost": job["hyperparameters"]["max_cost"]})
                return str(job["id"])
            if response.json().get("code") in UNTIMELY:
                return None
            if response.is_client_error and response.status_code not in (409, 429):
                self.refusals.append(f"a job was refused with {response.status_code}: {response.text[:300]}")
                return None
        return None

    def _responses(self, path: str, body: Row, headers: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        """The responses to a request that is repeated for `ACCEPT_SECONDS`, whatever the connection does."""
        deadline = time.monotonic() + ACCEPT_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                response = self._http.post(path, json=body, headers=headers)
                if not response.is_success:
                    _expect_json(response, self.refusals)
                yield response
            time.sleep(RETRY_SECONDS)
        self.refusals.append(f"POST {path} did not succeed within {ACCEPT_SECONDS} s")

    def upload_slowly(self, seconds: float, connections: int = 10) -> None:
        """Send a byte a second on several connections, then leave."""
        target = urlsplit(str(self._http.base_url))
        head = (
            f"POST /api/datasets?name=slow HTTP/1.1\r\nHost: {target.netloc}\r\nAuthorization: Bearer {self.token}\r\n"
            "Content-Type: application/jsonl\r\nContent-Length: 1000000\r\n\r\n"
        )
        opened: list[socket.socket] = []
        for _ in range(connections):
            with suppress(OSError):
                opened.append(socket.create_connection((target.hostname, target.port), timeout=5))
                opened[-1].sendall(head.encode())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for connection in opened:
                with suppress(OSError):
                    connection.sendall(b"{")
            time.sleep(1)
        for connection in opened:
            connection.close()


def _expect_json(response: httpx.Response, problems: list[str]) -> None:
    try:
        json.loads(response.text)["error"]
    except (ValueError, KeyError, TypeError):
        problems.append(f"a response of status {response.status_code} is not an error in JSON: {response.text[:200]}")
