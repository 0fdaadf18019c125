"""What the artifacts service holds: data sets, uploads in parts, models."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx

from brightrun.api.inputs import EarlierModel
from brightrun.api.models import Dataset
from brightrun.contracts.events import ArtifactFile, adapter_files
from brightrun.contracts.training import TrainingSpec
from brightrun.runtime.clients import UPLOAD_TIMEOUT_SECONDS, PeerError, ServiceClient
from brightrun.runtime.errors import NotFound, Unavailable

Json = dict[str, Any]


class Artifacts(ServiceClient):
    """The service, whose files are streamed as well."""

    @asynccontextmanager
    async def open(
        self, path: str, user_id: UUID, method: str = "GET", seconds: float = UPLOAD_TIMEOUT_SECONDS, **request: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lend the bytes that are answered, in pieces as they come; a silence of `seconds` breaks it off."""
        asked = self._http.stream(method, path, headers=self._headers(user_id), timeout=seconds, **request)
        try:
            async with asked as answer:
                if answer.is_error:
                    await answer.aread()
                    self._content(answer)
                yield answer.aiter_raw()
        except httpx.TransportError as error:
            raise Unavailable(f"{self.name} does not answer") from error


async def fetch_dataset(artifacts: ServiceClient, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """The user's data set as it is now; None if there is none."""
    told = await find(artifacts, user_id, f"/datasets/{dataset_id}")
    if told is None:
        return None
    return Dataset(
        id=dataset_id,
        name=told["name"],
        format=told["format"],
        status=told["status"],
        training_pairs=told["total_training_pairs"] or 0,
        tokens=told["total_tokens"] or 0,
        sha256=told["sha256"],
    )


async def fetch_model(artifacts: ServiceClient, user_id: UUID, model_id: UUID) -> EarlierModel | None:
    """The user's model, to start from; None if there is none."""
    told = await find(artifacts, user_id, f"/models/{model_id}")
    if told is None:
        return None
    return EarlierModel(
        id=model_id,
        job_id=UUID(told["job_id"]),
        name=told["name"],
        status=told["status"],
        spec=TrainingSpec.model_validate(told["configuration"]["hyperparameters"]).resolved(),
        files=adapter_files(ArtifactFile.model_validate(file) for file in told["files"]),
    )


async def find(artifacts: ServiceClient, user_id: UUID, path: str) -> Json | None:
    """What lies at a path of the user's; None if there is nothing."""
    try:
        told: Json = await artifacts.get(path, user_id)
    except PeerError as refusal:
        if refusal.status == NotFound.status:
            return None
        raise
    return told


async def remove_dataset(artifacts: ServiceClient, user_id: UUID, dataset_id: UUID) -> None:
    """Delete the user's data set, if it is there."""
    try:
        await artifacts.send("DELETE", f"/datasets/{dataset_id}", user_id)
    except PeerError as refusal:
        if refusal.status != NotFound.status:
            raise
