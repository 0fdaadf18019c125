"""The demo's client of the public API."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from brightrun.local.errors import DemoError

Json = dict[str, Any]

POLL_SECONDS = 0.3
CHUNK_BYTES = 1 << 16
STREAM_SECONDS = 120


class FirstUser:
    """A user of one BrightRun, over HTTP. Raises DemoError when a request fails."""

    def __init__(self, url: str) -> None:
        # A service that was just started again refuses connections for a moment.
        self._http = httpx.Client(base_url=url, timeout=60, transport=httpx.HTTPTransport(retries=5))

    def sign_in(self, email: str, password: str) -> None:
        """Register, or sign in when the account exists."""
        account = {"email": email, "password": password}
        response = self._http.post("/api/auth/register", json=account)
        if response.status_code == httpx.codes.CONFLICT:
            response = self._http.post("/api/auth/login", json=account)
        self._http.headers["Authorization"] = f"Bearer {_data(response)['token']}"

    def upload_dataset(self, path: Path) -> Json:
        """Stream a JSON Lines file and wait for its validation; returns the data set."""
        response = self._http.post(
            "/api/datasets",
            params={"name": path.stem},
            headers={"Content-Type": "application/jsonl"},
            content=_chunks(path),
        )
        dataset = _data(response)
        while dataset["status"] not in ("ready", "invalid"):
            time.sleep(POLL_SECONDS)
            dataset = self.get(f"/api/datasets/{dataset['id']}")
        return dataset

    def watch(self, job_id: str) -> Iterator[Json]:
        """Poll the job until it has failed, was cancelled, or its adapter is stored."""
        while True:
            job: Json = self.get(f"/api/jobs/{job_id}")["job"]
            yield job
            if job["status"] in ("failed", "cancelled") or job["artifact_id"]:
                return
            time.sleep(POLL_SECONDS)

    def download(self, artifact_id: str, folder: Path) -> list[Path]:
        """Download every file of an artifact and verify its digest; returns the paths."""
        digests = {file["name"]: file["sha256"] for file in self.get(f"/api/models/{artifact_id}")["files"]}
        urls: Mapping[str, str] = self.post(f"/api/models/{artifact_id}/download", {})["download_urls"]
        if urls.keys() != digests.keys():
            raise DemoError(f"the artifact's files and its links differ: {sorted(urls.keys() ^ digests.keys())}")
        return [_fetch(urls[name], folder / name, digests[name]) for name in sorted(urls)]

    def get(self, path: str) -> Json:
        """The data at `path`."""
        return _data(self._http.get(path))

    def post(self, path: str, body: Json) -> Json:
        """The data in the response to a POST."""
        return _data(self._http.post(path, json=body))

    def post_for_events(self, path: str, body: Json) -> list[tuple[str, Json]]:
        """POST, and read the server-sent events of the response: name and data of each."""
        response = self._http.post(path, json=body, timeout=STREAM_SECONDS)
        if not response.is_success:
            _data(response)
        blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in response.text.split("\n\n")]
        return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def _data(response: httpx.Response) -> Json:
    if response.is_error:
        where = f"{response.request.method} {response.request.url.path}"
        raise DemoError(f"{where} answered {response.status_code}: {response.text[:300]}")
    data: Json = response.json()["data"]
    return data


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _fetch(url: str, target: Path, sha256: str) -> Path:
    digest = hashlib.sha256()
    with httpx.stream("GET", url, timeout=60) as response, target.open("wb") as file:
        if response.is_error:
            raise DemoError(f"the link to {target.name} answered {response.status_code}")
        for chunk in response.iter_bytes():
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise DemoError(f"{target.name} has another digest than the platform says")
    return target
