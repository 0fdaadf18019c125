"""The head of a Ray cluster as its dashboard serves it over HTTP: jobs by the Jobs API, nodes by the State API."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar

import httpx
from pydantic import Field, TypeAdapter, ValidationError

from brightrun.cluster.executor import Unreachable, Unstartable
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
    metadata: Mapping[str, str] | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in OVER


class RayNode(Value):
    """A machine of the cluster: what it has, and what of it is in use."""

    node_id: str
    state: str
    resources_total: Annotated[Mapping[str, float], Field(default_factory=dict)]
    used: Annotated[Mapping[str, float], Field(default_factory=dict)]

    def accelerators(self) -> set[str]:
        """The accelerator types it names."""
        return {name.removeprefix(ACCELERATOR) for name in self.resources_total if name.startswith(ACCELERATOR)}


JOBS = TypeAdapter(list[RayJob])
NODES = TypeAdapter(list[RayNode])


class RayHead:
    """Asks the head, and remembers for a moment what it said: many runs ask the same."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str | None) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._jobs = _Memory(JOBS_FRESH_SECONDS, self._read_jobs)
        self._nodes = _Memory(NODES_FRESH_SECONDS, self._read_nodes)

    async def jobs(self) -> Mapping[str, RayJob]:
        """All submitted jobs by their submission id, not older than a second. Raises Unreachable."""
        return await self._jobs.read()

    async def nodes(self) -> list[RayNode]:
        """The machines that are alive, not older than five seconds. Raises Unreachable."""
        return await self._nodes.read()

    async def submit(self, job: Mapping[str, Any]) -> None:
        """Submit a job that names its submission id; one that is known already is left as it is.

        Raises Unreachable, Unstartable.
        """
        try:
            answer = await self._ask("POST", "/api/jobs/", job)
        finally:
            self._jobs.forget()
        if answer.is_success or "already exists" in answer.text:
            return
        raise Unstartable(f"Ray answers {answer.status_code}: {_last_line(answer)}")

    async def stop(self, submission_id: str) -> None:
        """Let Ray end the job: SIGTERM, and SIGKILL a few seconds later. Raises Unreachable."""
        await self._ask("POST", f"/api/jobs/{submission_id}/stop")
        self._jobs.forget()

    async def delete(self, submission_id: str) -> None:
        """Forget a job that is over. Raises Unreachable."""
        await self._ask("DELETE", f"/api/jobs/{submission_id}")
        self._jobs.forget()

    async def _read_jobs(self) -> Mapping[str, RayJob]:
        answer = await self._read("/api/jobs/")
        return {job.submission_id: job for job in JOBS.validate_json(answer.content) if job.submission_id}

    async def _read_nodes(self) -> list[RayNode]:
        """Totals come from the State API; what is used from the autoscaler's report, where Ray makes one."""
        found = (await self._read("/api/v0/nodes?detail=1&limit=10000")).json()["data"]["result"]["result"]
        answer = await self._ask("GET", "/api/cluster_status")
        report = (answer.json()["data"].get("clusterStatus") or {}) if answer.is_success else {}
        usage = (report.get("loadMetricsReport") or {}).get("usageByNode") or {}
        nodes = NODES.validate_python(found)
        return [
            node.model_copy(update={"used": {name: pair[0] for name, pair in usage.get(node.node_id, {}).items()}})
            for node in nodes
            if node.state == "ALIVE"
        ]

    async def _read(self, path: str) -> httpx.Response:
        answer = await self._ask("GET", path)
        if not answer.is_success:
            raise Unreachable(f"the Ray head answers {answer.status_code}: {_last_line(answer)}")
        return answer

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            return await self._http.request(
                method, f"{self._url}{path}", json=body, headers=self._headers, timeout=TIMEOUT_SECONDS
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"the Ray head does not answer ({type(error).__name__})") from error


class _Memory(Generic[T]):
    """A value that is read again when it is too old, once for all who ask at the same time; failures count as well."""

    def __init__(self, fresh_seconds: float, read: Callable[[], Awaitable[T]]) -> None:
        self._fresh_seconds = fresh_seconds
        self._read = read
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._value: T | None = None
        self._failure: Unreachable | None = None

    async def read(self) -> T:
        async with self._lock:
            if time.monotonic() > self._until:
                await self._renew()
            if self._failure is not None:
                raise Unreachable(str(self._failure))
            assert self._value is not None  # noqa: S101
            return self._value

    def forget(self) -> None:
        self._until = 0.0

    async def _renew(self) -> None:
        self._until = float("inf")
        try:
            self._value, self._failure = await self._read(), None
        except Unreachable as failure:
            self._failure = failure
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            self._failure = Unreachable(f"the Ray head's answer cannot be read ({type(error).__name__})")
        finally:
            if self._until == float("inf"):  # not forgotten meanwhile
                self._until = time.monotonic() + self._fresh_seconds


def _last_line(answer: httpx.Response) -> str:
    lines = [line for line in answer.text.splitlines() if line.strip(" .")]
    return lines[-1][:MAX_QUOTE_LENGTH] if lines else ""
