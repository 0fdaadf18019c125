"""The GPU cluster's HTTP API, as the scheduler uses it."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from brightrun.contracts.cluster_api import Capabilities, Capacity, RunEvents, RunList, RunSummary, SubmitRun
from brightrun.scheduler.answers import Answer, NoGoodAnswer, code_of, submission_of
from brightrun.scheduler.artifacts import Inputs
from brightrun.scheduler.models import Lease, Missing, Order, Silent, StatusAnswer, Submission, Told, Unsent, Unusable
from brightrun.scheduler.settings import ClusterSettings

BUDGET_SECONDS = 5.0
MAX_WAIT_SECONDS = 4
RUNS_A_PAGE = 1000
CONNECTIONS = 128
KEEP_ALIVE_SECONDS = 4.0
"""Less than servers keep a silent connection for, so that none is closed under a submission."""

NOT_RESUMABLE = "not_resumable"
JSON = {"content-type": "application/json"}


class Cluster:
    """One cluster, by its name."""

    def __init__(self, settings: ClusterSettings, callbacks: str) -> None:
        self.name = settings.name
        self._settings = settings
        self._callbacks = callbacks
        self._url = settings.url.rstrip("/")
        self._http = aiohttp.ClientSession(
            headers={"authorization": f"Bearer {settings.key.get_secret_value()}"},
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS),
            proxy=_proxy_to(URL(settings.url)),
        )

    async def submit(self, lease: Lease, inputs: Inputs) -> Submission:
        """Ask for a run of the attempt. Ours answer a repetition with the first run."""
        job = lease.job
        body = SubmitRun(
            job_id=job.job_id,
            attempt=lease.attempt.attempt,
            dataset_url=inputs.dataset.url,
            dataset_sha256=inputs.dataset.sha256,
            validation=inputs.validation,
            adapter=inputs.adapter,
            hyperparameters=job.spec,
            gpu_config=job.gpu,
            callback_url=self._callbacks,
            resume_from=lease.resume_from,
        )
        try:
            answer = await self._submit(body)
            if lease.resume_from and code_of(answer) == NOT_RESUMABLE:
                answer = await self._submit(body.model_copy(update={"resume_from": None}))
            return submission_of(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Unsent(repr(error), of_cluster=True)
        except (aiohttp.ClientError, TimeoutError, NoGoodAnswer) as error:
            return Silent(repr(error))

    async def _submit(self, body: SubmitRun) -> Answer:
        return await self._send("POST", "/training/submit", data=body.model_dump_json(), headers=JSON)

    async def _send(self, method: str, path: str, read_seconds: float = BUDGET_SECONDS, **request: Any) -> Answer:
        """Send what may change something; raises what `aiohttp` does."""
        timeout = aiohttp.ClientTimeout(total=None, connect=BUDGET_SECONDS, sock_read=read_seconds)
        url = URL(self._url + path, encoded=True)
        async with self._http.request(method, url, timeout=timeout, allow_redirects=False, **request) as answer:
            return Answer(answer.status, await answer.read())

    async def _ask(self, path: str, **request: Any) -> Answer:
        """Raises NoGoodAnswer when there is none."""
        try:
            return await self._send("GET", path, **request)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoGoodAnswer(repr(error)) from error

    async def capabilities(self) -> Capabilities:
        """What the cluster can do; one that only speaks the original's API says so by not knowing the question.

        Raises NoGoodAnswer.
        """
        answer = await self._ask("/training/capabilities")
        if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return Capabilities(
                name=self.name, version="unknown", executor="unknown", gpu_types=self._settings.gpu_types or ()
            )
        return answer.read(Capabilities)

    async def capacity(self, capabilities: Capabilities, taken: Mapping[str, int]) -> Capacity | None:
        """The GPUs that it has, and has free; None where nobody knows.

        A cluster that does not say may have so many as the settings say, less those `taken` by us. Raises NoGoodAnswer.
        """
        if capabilities.capacity:
            return (await self._ask("/training/capacity")).read(Capacity)
        if self._settings.gpus is None:
            return None
        return Capacity(total_gpus=self._settings.gpus, free_gpus=max(self._settings.gpus - sum(taken.values()), 0))

    async def events(self, after: int, limit: int) -> RunEvents:
        """Up to `limit` events after the cursor; waits a while for one. Raises NoGoodAnswer."""
        answer = await self._ask(
            "/training/events",
            params={"after": after, "wait": MAX_WAIT_SECONDS, "limit": limit},
            read_seconds=MAX_WAIT_SECONDS + BUDGET_SECONDS,
        )
        return answer.read(RunEvents)

    async def status(self, external_job_id: str) -> StatusAnswer:
        """What the cluster says of a run now."""
        try:
            answer = await self._ask(f"/training/status/{_part(external_job_id)}")
            if answer.status == HTTPStatus.NOT_FOUND:
                return Missing()
            body = json.loads(answer.checked().content)
        except (NoGoodAnswer, ValueError) as error:
            return Unusable(repr(error))
        return Told(body) if isinstance(body, dict) else Unusable(f"not an object: {answer.quote}")

    async def stop(self, external_job_id: str, order: Order) -> bool:
        """Tell a run to end; a finished one stays what it is. False if it is not known. Raises NoGoodAnswer."""
        run = _part(external_job_id)
        path, body = ("cancel", None) if order == "cancel" else ("stop", {"mode": order})
        try:
            answer = await self._send("POST", f"/training/{path}/{run}", json=body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoGoodAnswer(repr(error)) from error
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        answer.checked()
        return True

    async def live_runs(self) -> list[RunSummary]:
        """The runs that are not over; one that ends meanwhile may hide another. Raises NoGoodAnswer."""
        found: list[RunSummary] = []
        page, pages = 1, 1
        while page <= pages:
            answer = await self._ask("/training/runs", params={"live": "true", "page": page, "limit": RUNS_A_PAGE})
            told = answer.read(RunList)
            found.extend(told.runs)
            page, pages = page + 1, told.pagination.totalPages
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _proxy_to(url: URL) -> str | None:
    """The proxy that the environment names for the cluster; looked up once, as aiohttp would for each request."""
    return None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)


def _part(external_job_id: str) -> str:
    return quote(external_job_id, safe="")
