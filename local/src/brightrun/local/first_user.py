"""A user of the public API, as the demo plays one."""

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
    """Speaks to one BrightRun over HTTP; raises `DemoError` when it refuses."""

    def __init__(self, url: str) -> None:
        # A service that was just started again refuses connections for a moment.
        self._http = httpx.Client(base_url=url, timeout=60, transport=httpx.HTTPTransport(retries=5))

    def sign_in(self, email: str, password: str) -> None:
        """Create the account, or use it when it exists."""
        account = {"email": email, "password": password}
        answer = self._http.post("/api/auth/register", json=account)
        if answer.status_code == httpx.codes.CONFLICT:
            answer = self._http.post("/api/auth/login", json=account)
        self._http.headers["Authorization"] = f"Bearer {_data(answer)['token']}"

    def upload_dataset(self, path: Path) -> Json:
        """Stream a JSON Lines file and wait until every line was checked; returns the data set."""
        answer = self._http.post(
            "/api/datasets",
            params={"name": path.stem},
            headers={"Content-Type": "application/jsonl"},
            content=_chunks(path),
        )
        dataset = _data(answer)
        while dataset["status"] not in ("ready", "invalid"):
            time.sleep(POLL_SECONDS)
            dataset = self.get(f"/api/datasets/{dataset['id']}")
        return dataset

    def watch(self, job_id: str) -> Iterator[Json]:
        """The job as it goes, until it is over and what it made is stored."""
        while True:
            job: Json = self.get(f"/api/jobs/{job_id}")["job"]
            yield job
            if job["status"] in ("failed", "cancelled") or job["artifact_id"]:
                return
            time.sleep(POLL_SECONDS)

    def download(self, artifact_id: str, folder: Path) -> list[Path]:
        """Fetch every file of an artifact and check its digest; returns where they are."""
        digests = {file["name"]: file["sha256"] for file in self.get(f"/api/models/{artifact_id}")["files"]}
        urls: Mapping[str, str] = self.post(f"/api/models/{artifact_id}/download", {})["download_urls"]
        if urls.keys() != digests.keys():
            raise DemoError(f"the artifact's files and its links differ: {sorted(urls.keys() ^ digests.keys())}")
        return [_fetch(urls[name], folder / name, digests[name]) for name in sorted(urls)]

    def get(self, path: str) -> Json:
        """The data at `path`."""
        return _data(self._http.get(path))

    def post(self, path: str, body: Json) -> Json:
        """The data that `path` answers to `body`."""
        return _data(self._http.post(path, json=body))

    def hear(self, path: str, body: Json) -> list[tuple[str, Json]]:
        """Ask for something that is answered by server-sent events, and hear them all: name and data of each."""
        answer = self._http.post(path, json=body, timeout=STREAM_SECONDS)
        if not answer.is_success:
            _data(answer)
        blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.split("\n\n")]
        return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def _data(answer: httpx.Response) -> Json:
    if answer.is_error:
        where = f"{answer.request.method} {answer.request.url.path}"
        raise DemoError(f"{where} answered {answer.status_code}: {answer.text[:300]}")
    data: Json = answer.json()["data"]
    return data


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _fetch(url: str, target: Path, sha256: str) -> Path:
    digest = hashlib.sha256()
    with httpx.stream("GET", url, timeout=60) as answer, target.open("wb") as file:
        if answer.is_error:
            raise DemoError(f"the link to {target.name} answered {answer.status_code}")
        for chunk in answer.iter_bytes():
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise DemoError(f"{target.name} has another digest than the platform says")
    return target
