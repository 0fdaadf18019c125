"""The GPU cluster's HTTP API, called."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from brightrun.cluster_client.responses import (
    ClusterError,
    Missing,
    Reported,
    Response,
    StatusResponse,
    Submission,
    Unanswered,
    Undelivered,
    code_of,
    submission_of,
)
from brightrun.cluster_client.settings import ClusterSettings
from brightrun.contracts.cluster_api import (
    Capabilities,
    Capacity,
    RunArtifacts,
    RunCheckpoints,
    RunEvents,
    RunList,
    RunSummary,
    StopRun,
    StopSignal,
    SubmitRun,
)
from brightrun.contracts.generation import Generate

TIMEOUT_SECONDS = 5.0
MAX_WAIT_SECONDS = 4
DOWNLOAD_SILENCE_SECONDS = 60.0
GENERATION_SILENCE_SECONDS = 330.0
"""A large base model takes long to load; the cluster itself gives up before."""

RUNS_PER_PAGE = 1000
MAX_CONNECTIONS = 128
KEEP_ALIVE_SECONDS = 4.0
"""Less than servers keep an idle connection open, so that none is closed under a submission."""

NOT_RESUMABLE = "not_resumable"
UNCOMPRESSED = {"accept-encoding": "identity"}


class ClusterClient:
    """One cluster, by its name. Its key is sent to its own origin only, as files may lie elsewhere."""

    def __init__(self, settings: ClusterSettings, runs_per_page: int = RUNS_PER_PAGE) -> None:
        self.name = settings.name
        self._settings = settings
        self._runs_per_page = runs_per_page
        self._url = settings.url.rstrip("/")
        self._base = URL(settings.url)
        self._proxy = _proxy_for(self._base)
        self._authorization = {"authorization": f"Bearer {settings.key.get_secret_value()}"}
        self._json = {**self._authorization, "content-type": "application/json"}
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS)
        )

    async def submit(self, body: SubmitRun) -> Submission:
        """Ask for a run of an attempt, from the start where the cluster cannot resume it.

        Our clusters answer a repetition with the first run.
        """
        try:
            response = await self._post("/training/submit", body.model_dump_json())
            if body.resume_from and code_of(response) == NOT_RESUMABLE:
                restart = body.model_copy(update={"resume_from": None})
                response = await self._post("/training/submit", restart.model_dump_json())
            return submission_of(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Undelivered(repr(error))
        except (aiohttp.ClientError, TimeoutError, ClusterError) as error:
            return Unanswered(repr(error))

    async def capabilities(self) -> Capabilities:
        """What the cluster can do; one that speaks only the original's API does not say. Raises ClusterError."""
        response = await self._get("/training/capabilities")
        if response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            gpu_types = self._settings.gpu_types or ()
            return Capabilities(name=self.name, version="unknown", executor="unknown", gpu_types=gpu_types)
        return response.read(Capabilities)

    async def capacity(self, capabilities: Capabilities, taken: Mapping[str, int]) -> Capacity | None:
        """The cluster's GPUs in all and free; None if unknown. Raises ClusterError.

        Where the cluster has no such endpoint: the number in the settings, less those `taken` by our runs.
        """
        if capabilities.capacity:
            return (await self._get("/training/capacity")).read(Capacity)
        if self._settings.gpus is None:
            return None
        return Capacity(total_gpus=self._settings.gpus, free_gpus=max(self._settings.gpus - sum(taken.values()), 0))

    async def events(self, after: int, limit: int) -> RunEvents:
        """Up to `limit` events after the cursor; waits up to MAX_WAIT_SECONDS for one. Raises ClusterError."""
        response = await self._get(
            "/training/events",
            params={"after": after, "wait": MAX_WAIT_SECONDS, "limit": limit},
            read_seconds=MAX_WAIT_SECONDS + TIMEOUT_SECONDS,
        )
        return response.read(RunEvents)

    async def status(self, external_job_id: str) -> StatusResponse:
        """What the cluster reports of a run now."""
        try:
            response = await self._get(f"/training/status/{_segment(external_job_id)}")
            if response.status == HTTPStatus.NOT_FOUND:
                return Missing()
            body = json.loads(response.checked().content)
        except (ClusterError, ValueError) as error:
            return Unanswered(repr(error))
        return Reported(body) if isinstance(body, dict) else Unanswered(f"not an object: {response.quote}")

    async def stop(self, external_job_id: str, signal: StopSignal) -> bool:
        """End a run; a finished one stays what it is. False if the run is unknown. Raises ClusterError."""
        run = _segment(external_job_id)
        try:
            if signal == "cancel":
                response = await self._post(f"/training/cancel/{run}")
            else:
                response = await self._post(f"/training/stop/{run}", StopRun(mode=signal).model_dump_json())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error, repr(error)) from error
        if response.status == HTTPStatus.NOT_FOUND:
            return False
        response.checked()
        return True

    async def live_runs(self) -> list[RunSummary]:
        """The runs that are not over; one that ends meanwhile may hide another. Raises ClusterError."""
        runs: list[RunSummary] = []
        page, pages = 1, 1
        while page <= pages:
            params = {"live": "true", "page": page, "limit": self._runs_per_page}
            response = await self._get("/training/runs", params=params)
            run_list = response.read(RunList)
            runs.extend(run_list.runs)
            page, pages = page + 1, run_list.pagination.totalPages
        return runs

    async def artifacts(self, external_job_id: str) -> RunArtifacts:
        """Where the files of a completed run are. Raises ClusterError."""
        path = f"/training/artifacts/{_segment(external_job_id)}"
        return (await self._get(path, read_seconds=DOWNLOAD_SILENCE_SECONDS)).read(RunArtifacts)

    async def checkpoints(self, external_job_id: str) -> RunCheckpoints:
        """The checkpoints that a run has now. Raises ClusterError."""
        return (await self._get(f"/training/checkpoints/{_segment(external_job_id)}")).read(RunCheckpoints)

    async def checkpoint(self, external_job_id: str, step: int) -> RunArtifacts:
        """Where the files of a checkpoint's adapter are. Raises ClusterError."""
        path = f"/training/checkpoints/{_segment(external_job_id)}/{step}"
        return (await self._get(path, read_seconds=DOWNLOAD_SILENCE_SECONDS)).read(RunArtifacts)

    @asynccontextmanager
    async def download(self, address: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a file; a relative `address` is the cluster's own, a redirect is an error. Raises ClusterError."""
        url = self._base.join(URL(address, encoded=True))
        ours = url.origin() == self._base.origin()
        async with self._stream(
            "GET",
            url,
            DOWNLOAD_SILENCE_SECONDS,
            headers=self._authorization if ours else {},
            proxy=self._proxy if ours else _proxy_for(url),
        ) as pieces:
            yield pieces

    @asynccontextmanager
    async def generate(self, external_job_id: str, body: Generate) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream what base model and adapter of a run generate, as lines of GenerationEvent. Raises ClusterError."""
        url = URL(f"{self._url}/training/generate/{_segment(external_job_id)}", encoded=True)
        async with self._stream(
            "POST",
            url,
            GENERATION_SILENCE_SECONDS,
            headers=self._json,
            proxy=self._proxy,
            data=body.model_dump_json(),
        ) as pieces:
            yield pieces

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _get(self, path: str, read_seconds: float = TIMEOUT_SECONDS, **request: Any) -> Response:
        """Raises ClusterError."""
        try:
            return await self._send("GET", path, read_seconds, headers=self._authorization, **request)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error, repr(error)) from error

    async def _post(self, path: str, body: str | None = None) -> Response:
        """Raises what aiohttp raises."""
        headers = self._json if body else self._authorization
        return await self._send("POST", path, TIMEOUT_SECONDS, headers=headers, data=body)

    async def _send(self, method: str, path: str, read_seconds: float, **request: Any) -> Response:
        url = URL(self._url + path, encoded=True)
        async with self._http.request(
            method, url, timeout=_timeout(read_seconds), allow_redirects=False, proxy=self._proxy, **request
        ) as response:
            return Response(response.status, await response.read())

    @asynccontextmanager
    async def _stream(
        self, method: str, url: URL, read_seconds: float, headers: Mapping[str, str], **request: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes as they come, not decompressed."""
        try:
            response = await self._http.request(
                method,
                url,
                timeout=_timeout(read_seconds),
                allow_redirects=False,
                auto_decompress=False,
                headers={**headers, **UNCOMPRESSED},
                **request,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error
        async with response:
            Response(response.status, b"").checked()
            yield _pieces(response)


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception, detail: str = "") -> ClusterError:
    return ClusterError(f"the cluster does not answer, or broke off ({type(error).__name__})", detail)


def _timeout(read_seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=TIMEOUT_SECONDS, sock_read=read_seconds)


def _proxy_for(url: URL) -> str | None:
    """The proxy that the environment names for an address; aiohttp would look it up anew for each request."""
    return None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)


def _segment(external_job_id: str) -> str:
    return quote(external_job_id, safe="")
