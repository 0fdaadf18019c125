"""Bodies of checkpoints."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from brightrun.api.checkpoints.models import Availability
from brightrun.contracts.artifacts import SignedUrls
from brightrun.contracts.checkpoints import MeasuredCheckpoint


class CheckpointView(MeasuredCheckpoint):
    """A checkpoint with the last metrics before it, and how long it can be had; null is not measured."""

    model_config = ConfigDict(protected_namespaces=())

    available: bool | None = Field(description="whether it can be downloaded now; null if its cluster does not answer")
    available_until: datetime | None = Field(
        description="when it will be deleted; null while its training goes on and replaces it by newer checkpoints"
    )
    model_id: UUID | None = Field(description="the copy in the store, for init_from; null before the first download")

    @classmethod
    def of(cls, checkpoint: dict[str, Any], availability: Availability) -> Self:
        """From a checkpoint of the tracker."""
        return cls(
            **checkpoint,
            available=availability.available,
            available_until=availability.until,
            model_id=availability.model_id,
        )


class Checkpoints(BaseModel):
    """A job's checkpoints, newest first."""

    checkpoints: list[CheckpointView]


class CheckpointDownload(SignedUrls):
    """The URL of each file, and the `model_id` that a job starts from with `init_from`."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: UUID
