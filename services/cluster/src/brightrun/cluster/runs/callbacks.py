"""Tells the submitter that a run changed its state: signed, best effort, and never in the run's way."""

import asyncio

import httpx
import structlog

from brightrun.cluster.models import Run
from brightrun.contracts.cluster_api import RunCallback
from brightrun.contracts.signatures import sign

log = structlog.get_logger()

TIMEOUT_SECONDS = 2.0
MAX_TRIES = 3


class Callbacks:
    def __init__(self, http: httpx.AsyncClient, secret: str) -> None:
        self._http = http
        self._secret = secret
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, run: Run) -> None:
        """Send the run's state, if its submission asked for it."""
        if run.request.callback_url is None:
            return
        callback = RunCallback(external_job_id=run.id, job_id=run.request.job_id, status=run.status.status)
        task = asyncio.create_task(self._deliver(run.request.callback_url, callback.model_dump_json().encode()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is not delivered: the events hold the same."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, url: str, body: bytes) -> None:
        for tried in range(MAX_TRIES):
            await asyncio.sleep(tried)
            try:
                headers = sign(self._secret, body) | {"content-type": "application/json"}
                response = await self._http.post(url, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                log.info("callback.undelivered", reason=repr(error))
                continue
            if not response.is_server_error:
                return
            log.info("callback.undelivered", reason=response.status_code)
