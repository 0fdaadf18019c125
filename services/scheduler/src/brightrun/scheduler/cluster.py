"""The GPU cluster's HTTP API, as the scheduler uses it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ConfigDict, ValidationError

from brightrun.contracts.cluster_api import Capabilities, Capacity, RunEvents, RunList, RunSummary, SubmitRun
from brightrun.contracts.training import JobError
from brightrun.contracts.values import Value
from brightrun.scheduler.models import (
    Accepted,
    Busy,
    Lease,
    Missing,
    Order,
    Rejected,
    Silent,
    StatusAnswer,
    Submission,
    Told,
    Unsent,
    Unusable,
)
from brightrun.scheduler.settings import ClusterSettings

BUDGET_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 4
RUNS_A_PAGE = 1000
LONGEST_QUOTE = 200
NOT_RESUMABLE = "not_resumable"
JSON = {"content-type": "application/json"}


class Refusal(Value):
    """Why the cluster does not take a job, in the house's shape; clusters of others may say less."""

    error: str
    code: str = "rejected_by_cluster"
    details: Any = None


class Taken(Value):
    """The answer to a submission; that other clusters give it a status cannot be relied on."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    external_job_id: str


class Cluster:
    """One cluster, by its name."""

    def __init__(self, settings: ClusterSettings, callbacks: str) -> None:
        self.name = settings.name
        self._settings = settings
        self._callbacks = callbacks
        self._http = httpx.AsyncClient(
            base_url=settings.url,
            headers={"authorization": f"Bearer {settings.key.get_secret_value()}"},
            timeout=httpx.Timeout(BUDGET_SECONDS),
        )

    async def submit(self, lease: Lease, dataset_url: str) -> Submission:
        """Ask for a run of the attempt. Ours answer a repetition with the first run."""
        job = lease.job
        body = SubmitRun(
            job_id=job.job_id,
            attempt=lease.attempt.attempt,
            dataset_url=dataset_url,
            hyperparameters=job.spec,
            gpu_config=job.gpu,
            callback_url=self._callbacks,
            resume_from=lease.resume_from,
        )
        try:
            answer = await self._submit(body)
            if lease.resume_from and _code(answer) == NOT_RESUMABLE:
                answer = await self._submit(body.model_copy(update={"resume_from": None}))
            return _submission(answer)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Unsent(repr(error), of_cluster=True)
        except (httpx.HTTPError, ValidationError) as error:
            return Silent(repr(error))

    async def _submit(self, body: SubmitRun) -> httpx.Response:
        content = body.model_dump_json()
        return await self._http.post("/training/submit", content=content, headers=JSON)

    async def capabilities(self) -> Capabilities:
        """What the cluster can do; one that only speaks the original's API says so by not knowing the question.

        Raises `httpx.HTTPError` or `ValidationError` when it gives no good answer.
        """
        answer = await self._http.get("/training/capabilities")
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            return Capabilities(
                name=self.name, version="unknown", executor="unknown", gpu_types=self._settings.gpu_types or ()
            )
        return Capabilities.model_validate_json(answer.raise_for_status().content)

    async def capacity(self, capabilities: Capabilities, taken: Mapping[str, int]) -> Capacity | None:
        """The GPUs that it has, and has free; None where nobody knows.

        A cluster that does not say may have so many as the settings say, less those `taken` by us. Raises as above.
        """
        if capabilities.capacity:
            answer = await self._http.get("/training/capacity")
            return Capacity.model_validate_json(answer.raise_for_status().content)
        if self._settings.gpus is None:
            return None
        return Capacity(total_gpus=self._settings.gpus, free_gpus=max(self._settings.gpus - sum(taken.values()), 0))

    async def events(self, after: int, limit: int) -> RunEvents:
        """Up to `limit` events after the cursor; waits a while for one. Raises as above."""
        answer = await self._http.get(
            "/training/events",
            params={"after": after, "wait": LONGEST_WAIT_SECONDS, "limit": limit},
            timeout=httpx.Timeout(BUDGET_SECONDS, read=LONGEST_WAIT_SECONDS + BUDGET_SECONDS),
        )
        return RunEvents.model_validate_json(answer.raise_for_status().content)

    async def status(self, external_job_id: str) -> StatusAnswer:
        """What the cluster says of a run now."""
        try:
            answer = await self._http.get(f"/training/status/{_part(external_job_id)}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return Missing()
            body = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            return Unusable(repr(error))
        return Told(body) if isinstance(body, dict) else Unusable(f"not an object: {answer.text[:LONGEST_QUOTE]}")

    async def stop(self, external_job_id: str, order: Order) -> bool:
        """Tell a run to end; a finished one stays what it is. False if it is not known. Raises `httpx.HTTPError`."""
        run = _part(external_job_id)
        if order == "cancel":
            answer = await self._http.post(f"/training/cancel/{run}")
        else:
            answer = await self._http.post(f"/training/stop/{run}", json={"mode": order})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        answer.raise_for_status()
        return True

    async def live_runs(self) -> list[RunSummary]:
        """The runs that are not over; one that ends meanwhile may hide another. Raises as `capabilities`."""
        found: list[RunSummary] = []
        page, pages = 1, 1
        while page <= pages:
            params: dict[str, str | int] = {"live": "true", "page": page, "limit": RUNS_A_PAGE}
            answer = await self._http.get("/training/runs", params=params)
            told = RunList.model_validate_json(answer.raise_for_status().content)
            found.extend(told.runs)
            page, pages = page + 1, told.pagination.totalPages
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _part(external_job_id: str) -> str:
    return quote(external_job_id, safe="")


def _submission(answer: httpx.Response) -> Submission:
    """What the answer means. A server's own failure may have come after it took the run; a refusal did not."""
    if answer.is_success:
        return Accepted(Taken.model_validate_json(answer.content).external_job_id)
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return Busy()
    if answer.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY):
        return Rejected(_refusal(answer))
    words = f"{answer.status_code}: {answer.text[:LONGEST_QUOTE]}"
    return Unsent(words, of_cluster=True) if answer.is_client_error else Silent(words)


def _code(answer: httpx.Response) -> str | None:
    try:
        return Refusal.model_validate_json(answer.content).code
    except ValidationError:
        return None


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
