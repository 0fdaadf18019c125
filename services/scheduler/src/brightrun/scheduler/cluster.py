"""The GPU cluster's HTTP API, as the scheduler uses it."""

from typing import Any

import httpx
from pydantic import ValidationError

from brightrun.contracts.cluster_api import Capacity, RunEvents, SubmitRun, SubmittedRun
from brightrun.contracts.training import JobError
from brightrun.scheduler.models import Accepted, Attempt, Busy, Rejected, Silent, Submission

BUDGET_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 20


class Cluster:
    """One cluster, by its name."""

    def __init__(self, name: str, url: str, key: str, callbacks: str) -> None:
        self.name = name
        self._callbacks = callbacks
        self._http = httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=httpx.Timeout(BUDGET_SECONDS)
        )

    async def submit(self, attempt: Attempt, dataset_url: str) -> Submission:
        """Ask for a run of the attempt. The cluster answers a repetition with the first run."""
        job = attempt.job
        body = SubmitRun(
            job_id=job.job_id,
            attempt=attempt.attempt,
            dataset_url=dataset_url,
            hyperparameters=job.spec,
            gpu_config=job.gpu,
            callback_url=self._callbacks,
        )
        try:
            answer = await self._http.post("/training/submit", json=body.model_dump(mode="json"))
            return _submission(answer)
        except (httpx.HTTPError, ValidationError) as error:
            return Silent(repr(error))

    async def free_gpus(self) -> int:
        """How many GPUs could be used now; raises `httpx.HTTPError` when the cluster does not answer."""
        answer = await self._http.get("/training/capacity")
        return Capacity.model_validate_json(answer.raise_for_status().content).free_gpus

    async def events(self, after: int) -> RunEvents:
        """What happened after the cursor; waits for up to 20 s for something to happen."""
        answer = await self._http.get(
            "/training/events",
            params={"after": after, "wait": LONGEST_WAIT_SECONDS},
            timeout=httpx.Timeout(BUDGET_SECONDS, read=LONGEST_WAIT_SECONDS + BUDGET_SECONDS),
        )
        return RunEvents.model_validate_json(answer.raise_for_status().content)

    async def cancel(self, external_job_id: str) -> None:
        """Ask the run to save and stop; a finished run stays what it is."""
        answer = await self._http.post(f"/training/cancel/{external_job_id}")
        answer.raise_for_status()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _submission(answer: httpx.Response) -> Submission:
    if answer.is_success:
        return Accepted(SubmittedRun.model_validate_json(answer.content).external_job_id)
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return Busy()
    if answer.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY):
        return Rejected(_error(answer.json()))
    return Silent(f"{answer.status_code}: {answer.text[:200]}")


def _error(body: dict[str, Any]) -> JobError:
    message = body.get("error", "the cluster refused the job")
    details = body.get("details")
    return JobError(
        code=body.get("code", "rejected_by_cluster"),
        message=f"{message} {details}" if details else str(message),
        advice="Change the job's configuration and submit it again.",
    )
