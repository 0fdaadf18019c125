"""Objects of a user, one for each variable that a path may have, so that others can try to reach it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from brightrun.api.accounts.actions import sign_in
from brightrun.api.datasets import queries as datasets
from brightrun.api.openai import ids
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool, transaction
from tests.builders import NOON, dataset_validated, job_completed, job_progress, job_started
from tests.services.api.conftest import User, submission
from tests.services.api.fakes import Fakes
from tests.services.slices import deliver

CONTENT = b"{}\n"


async def key_of(user: User, scope: str = "admin", **more: Any) -> str:
    """A new API key of the user's."""
    answer = await user.post("/api/keys", json={"name": scope, "scopes": [scope]} | more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["key"])


@dataclass(frozen=True)
class Objects:
    """Makes new objects that are `owner`'s, and names them as the dialect does."""

    owner: User
    pool: Pool
    fakes: Fakes

    async def for_path(self, dialect: str, variables: list[str]) -> dict[str, str]:
        """Values for the variables of a path."""
        makers = MAKERS[dialect]
        return {variable: await makers[variable](self) for variable in variables}

    async def dataset(self) -> UUID:
        """A data set that artifacts holds and the gateway has heard of."""
        dataset_id = self.fakes.artifacts.hold_dataset(self.owner.id, size_bytes=len(CONTENT))
        self.fakes.artifacts.contents[dataset_id] = CONTENT
        event = dataset_validated(user_id=self.owner.id, dataset_id=dataset_id)
        async with transaction(self.pool) as conn:
            await datasets.save_dataset(conn, event)
        return dataset_id

    async def job(self) -> UUID:
        """A job that waits."""
        job = await self._made("/api/jobs", submission(await self.dataset()))
        return UUID(job["id"])

    async def finished_job(self) -> UUID:
        """A job that has ended well."""
        job_id = await self.job()
        of_job = {"job_id": job_id, "user_id": self.owner.id}
        await deliver("api", self.pool, job_progress(**of_job), job_completed(**of_job, finished_at=NOON))
        return job_id

    async def checkpoint(self) -> str:
        """A checkpoint of the newest job."""
        job_id = await self.pool.fetchval("SELECT id FROM jobs WHERE user_id = $1 ORDER BY id DESC", self.owner.id)
        run = f"run-{job_id}"
        await deliver(
            "api", self.pool, job_started(job_id=job_id, user_id=self.owner.id, attempt=1, external_job_id=run)
        )
        self.fakes.artifacts.on_clusters[run] = {20: None}
        return "1-20"

    async def model(self) -> UUID:
        """A stored model."""
        return self.fakes.artifacts.hold_adapter(self.owner.id)

    async def upload(self) -> UUID:
        """An upload that has begun."""
        body = {"bytes": 100, "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "fine-tune"}
        answer = await self.owner.post("/v1/uploads", json=body)
        assert answer.status_code == 200, answer.text
        upload_id = ids.read(ids.UPLOAD, answer.json()["id"])
        assert upload_id
        return upload_id

    async def webhook(self) -> UUID:
        """A webhook."""
        body = {"url": "https://hooks.example.com/", "description": "ours"}
        return UUID((await self._made("/api/webhooks", body))["id"])

    async def notification(self) -> UUID:
        """A notification."""
        return self.fakes.notifier.hold_notification(self.owner.id)

    async def key(self) -> UUID:
        """An API key."""
        return UUID((await self._made("/api/keys", {"name": "laptop", "scopes": ["read"]}))["id"])

    async def session(self) -> UUID:
        """Another sign-in."""
        async with transaction(self.pool) as conn:
            await sign_in(conn, self.owner.id, timedelta(days=1), "another laptop")
        newest = await self.pool.fetchval(
            "SELECT id FROM sessions WHERE user_id = $1 ORDER BY created_at DESC", self.owner.id
        )
        return UUID(str(newest))

    async def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.owner.post(path, json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["data"]
        return made


Maker = Callable[[Objects], Awaitable[str]]


def _api(make: Callable[[Objects], Awaitable[UUID]]) -> Maker:
    async def written(objects: Objects) -> str:
        return str(await make(objects))

    return written


def _v1(prefix: str, make: Callable[[Objects], Awaitable[UUID]]) -> Maker:
    async def written(objects: Objects) -> str:
        return ids.write(prefix, await make(objects))

    return written


async def _model_name(objects: Objects) -> str:
    return ids.name_model("tiny", None, await objects.model())


async def _any(_: Objects) -> UUID:
    return new_id()


MAKERS: dict[str, dict[str, Maker]] = {
    "api": {
        "dataset_id": _api(Objects.dataset),
        "job_id": _api(Objects.job),
        "checkpoint_id": Objects.checkpoint,
        "model_id": _api(Objects.model),
        "webhook_id": _api(Objects.webhook),
        "delivery_id": _api(_any),
        "notification_id": _api(Objects.notification),
        "key_id": _api(Objects.key),
        "session_id": _api(Objects.session),
        "user_id": _api(_any),
        "gpu_type": _api(_any),
        "name": _api(_any),
    },
    "v1": {
        "file_id": _v1(ids.FILE, Objects.dataset),
        "job_id": _v1(ids.JOB, Objects.job),
        "upload_id": _v1(ids.UPLOAD, Objects.upload),
        "model": _model_name,
        "webhook_endpoint_id": _v1(ids.WEBHOOK, Objects.webhook),
    },
}
"""How an object is made for each variable of a path. Deliveries are found by their webhook."""
