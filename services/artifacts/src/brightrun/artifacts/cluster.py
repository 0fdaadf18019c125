"""The GPU cluster, asked for the files that a run left."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from brightrun.artifacts.errors import GenerationBusy, GenerationUnsupported
from brightrun.artifacts.settings import ClusterSettings
from brightrun.contracts.cluster_api import RunArtifacts
from brightrun.contracts.generation import Generate

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
LOADING_SECONDS = 330.0
"""A large base model takes its time; the cluster itself gives up before."""
CANNOT = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE, HTTPStatus.NOT_IMPLEMENTED)


class ClusterError(Exception):
    """What the cluster did wrong, in words that show no address: they may carry a signature."""


class Cluster:
    """One cluster's HTTP API. Its key goes to its own address only, as files may lie elsewhere."""

    def __init__(self, settings: ClusterSettings) -> None:
        self.name = settings.name
        self._url = httpx.URL(settings.url)
        self._key = settings.key.get_secret_value()
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS))

    async def get_artifacts(self, external_job_id: str) -> RunArtifacts:
        """Where the run's files are."""
        url = self._url.join(f"/training/artifacts/{quote(external_job_id, safe='')}")
        with _errors():
            answer = await self._http.get(url, headers=self._headers(url))
            answer.raise_for_status()
            return RunArtifacts.model_validate_json(answer.content)

    @asynccontextmanager
    async def download(self, address: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lend a file's bytes as they come; a relative `address` is the cluster's own. Redirects are refused."""
        url = self._url.join(address)
        with _errors():
            async with self._http.stream("GET", url, headers=self._headers(url)) as answer:
                answer.raise_for_status()
                yield answer.aiter_raw()

    @asynccontextmanager
    async def generate(self, external_job_id: str, request: Generate) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lend what base model and adapter of a run answer, line by line as contracts.generation has it.

        Raises GenerationUnsupported, GenerationBusy and ClusterError.
        """
        url = self._url.join(f"/training/generate/{quote(external_job_id, safe='')}")
        body = request.model_dump(mode="json")
        timeout = httpx.Timeout(LOADING_SECONDS, connect=CONNECT_SECONDS)
        with _errors():
            async with self._http.stream("POST", url, headers=self._headers(url), json=body, timeout=timeout) as answer:
                if answer.status_code in CANNOT:
                    raise GenerationUnsupported
                if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    raise GenerationBusy
                answer.raise_for_status()
                yield answer.aiter_raw()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _headers(self, url: httpx.URL) -> dict[str, str]:
        headers = {"accept-encoding": "identity"}
        if (url.scheme, url.host, url.port) == (self._url.scheme, self._url.host, self._url.port):
            headers["authorization"] = f"Bearer {self._key}"
        return headers


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise ClusterError(f"the cluster answered {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise ClusterError(f"the cluster does not answer, or broke off ({type(error).__name__})") from error
    except ValidationError as error:
        raise ClusterError(f"the cluster's answer has {error.error_count()} faults") from error
