"""The GPU cluster's HTTP API, as the scheduler uses it."""

from typing import Any

import httpx
from pydantic import ValidationError

from brightrun.contracts.cluster_api import Capacity, RunEvents, SubmitRun, SubmittedRun
from brightrun.contracts.training import JobError
from brightrun.contracts.values import Value
from brightrun.scheduler.models import Accepted, Attempt, Busy, Rejected, Silent, Submission

BUDGET_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 20
LONGEST_QUOTE = 200


class Refusal(Value):
    """Why the cluster does not take a job, in the house's shape; clusters of others may say less."""

    error: str
    code: str = "rejected_by_cluster"
    details: Any = None


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

    async def cancel(self, attempt: Attempt) -> None:
        """Ask the live attempt's run to save and stop; a finished run stays what it is. Raises `httpx.HTTPError`."""
        answer = await self._http.post(f"/training/cancel/{attempt.external_job_id}")
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
        return Rejected(_refusal(answer))
    return Silent(f"{answer.status_code}: {answer.text[:LONGEST_QUOTE]}")


def _refusal(answer: httpx.Response) -> JobError:
    try:
        refusal = Refusal.model_validate_json(answer.content)
    except ValidationError:
        refusal = Refusal(error=f"The cluster refused the job: {answer.text[:LONGEST_QUOTE]}")
    message = f"{refusal.error} {_in_words(refusal.details)}".strip()
    return JobError(code=refusal.code, message=message, advice="Change the job's configuration and submit it again.")


def _in_words(details: Any) -> str:
    """`{"gpu_config.type": ["this cluster has CPU"]}` as a sentence; any other details as they are."""
    if not isinstance(details, dict):
        return str(details or "")
    problems = {path: said if isinstance(said, list) else [said] for path, said in details.items()}
    return "; ".join(f"{path}: {', '.join(map(str, said))}" for path, said in problems.items())
