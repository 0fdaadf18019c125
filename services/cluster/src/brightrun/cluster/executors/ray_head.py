"""The head of a Ray cluster as its dashboard serves it over HTTP: jobs by the Jobs API, nodes by the State API."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar

import httpx
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from brightrun.cluster.errors import StartupError
from brightrun.cluster.executors.executor import StartFailed, Unreachable
from brightrun.cluster.settings import Settings
from brightrun.contracts.values import Value

T = TypeVar("T")

TIMEOUT_SECONDS = 5.0
JOBS_FRESH_SECONDS = 1.0
NODES_FRESH_SECONDS = 5.0
ACCELERATOR = "accelerator_type:"
MAX_QUOTE_LENGTH = 300
OVER = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})


class RayJob(Value):
    """A job that was submitted over the Jobs API."""

    submission_id: str | None = None
    status: str
    message: str | None = None
    metadata: Annotated[Mapping[str, str], BeforeValidator(lambda metadata: metadata or {})] = {}

    @property
    def over(self) -> bool:
        return self.status in OVER


class RayNode(Value):
    """A machine of the cluster: what it has, and what of it is in use."""

    node_id: str
    state: str
    resources_total: Mapping[str, float] = {}
    used: Mapping[str, float] = {}

    def accelerators(self) -> set[str]:
        return {name.removeprefix(ACCELERATOR) for name in self.resources_total if name.startswith(ACCELERATOR)}


JOBS = TypeAdapter(list[RayJob])
NODES = TypeAdapter(list[RayNode])


class RayHead:
    """The client of the head. It caches responses for a moment, as many runs ask for the same."""

    def __init__(
        self, http: httpx.AsyncClient, settings: Settings, nodes_fresh_seconds: float = NODES_FRESH_SECONDS
    ) -> None:
        if settings.ray_url is None:
            raise StartupError("BRIGHTRUN_RAY_URL is not set: give the address of the Ray head, http://head:8265")
        token = settings.ray_token.get_secret_value() if settings.ray_token else ""
        self._http = http
        self._url = settings.ray_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._jobs = _Cache(JOBS_FRESH_SECONDS, self._read_jobs)
        self._nodes = _Cache(nodes_fresh_seconds, self._read_nodes)

    async def jobs(self) -> Mapping[str, RayJob]:
        """All submitted jobs by their submission id, not older than a second. Raises Unreachable."""
        return await self._jobs.read()

    async def nodes(self) -> list[RayNode]:
        """The machines that are alive, not older than five seconds. Raises Unreachable."""
        return await self._nodes.read()

    async def submit(self, job: Mapping[str, Any]) -> None:
        """Submit a job that names its submission id; one that is known already is left as it is.

        Raises Unreachable, StartFailed.
        """
        response = await self._change("POST", "/api/jobs/", job)
        if not response.is_success and "already exists" not in response.text:
            raise StartFailed(f"Ray answers {response.status_code}: {_last_line(response)}")

    async def stop(self, submission_id: str) -> None:
        """Let Ray end the job: SIGTERM, and SIGKILL a few seconds later. Raises Unreachable."""
        await self._change("POST", f"/api/jobs/{submission_id}/stop")

    async def delete(self, submission_id: str) -> None:
        await self._change("DELETE", f"/api/jobs/{submission_id}")

    async def _change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            return await self._send(method, path, body)
        finally:
            self._jobs.expire()

    async def _read_jobs(self) -> Mapping[str, RayJob]:
        response = await self._read("/api/jobs/")
        return {job.submission_id: job for job in JOBS.validate_json(response.content) if job.submission_id}

    async def _read_nodes(self) -> list[RayNode]:
        """Totals come from the State API; what is used from the autoscaler's report, where Ray makes one."""
        nodes = (await self._read("/api/v0/nodes?detail=1&limit=10000")).json()["data"]["result"]["result"]
        response = await self._send("GET", "/api/cluster_status")
        report = (response.json()["data"].get("clusterStatus") or {}) if response.is_success else {}
        usage = (report.get("loadMetricsReport") or {}).get("usageByNode") or {}
        return [
            node.model_copy(update={"used": {name: pair[0] for name, pair in usage.get(node.node_id, {}).items()}})
            for node in NODES.validate_python(nodes)
            if node.state == "ALIVE"
        ]

    async def _read(self, path: str) -> httpx.Response:
        response = await self._send("GET", path)
        if not response.is_success:
            raise Unreachable(f"the Ray head answers {response.status_code}: {_last_line(response)}")
        return response

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            return await self._http.request(
                method, f"{self._url}{path}", json=body, headers=self._headers, timeout=TIMEOUT_SECONDS
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"the Ray head does not answer ({type(error).__name__})") from error


class _Cache(Generic[T]):
    """A value that is read again when it is too old, once for all concurrent readers; failures are cached as well."""

    def __init__(self, fresh_seconds: float, read: Callable[[], Awaitable[T]]) -> None:
        self._fresh_seconds = fresh_seconds
        self._read = read
        self._expires_at = 0.0
        self._reading: asyncio.Task[T] | None = None

    async def read(self) -> T:
        if self._reading is None or time.monotonic() > self._expires_at:
            self._expires_at = float("inf")
            self._reading = asyncio.create_task(self._renew())
        return await asyncio.shield(self._reading)

    def expire(self) -> None:
        self._reading = None

    async def _renew(self) -> T:
        try:
            return await self._read()
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"the Ray head's answer cannot be read ({type(error).__name__})") from error
        finally:
            self._expires_at = time.monotonic() + self._fresh_seconds


def _last_line(response: httpx.Response) -> str:
    lines = [line for line in response.text.splitlines() if line.strip(" .")]
    return lines[-1][:MAX_QUOTE_LENGTH] if lines else ""
