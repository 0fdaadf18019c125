"""Bodies of checkpoints: as the tracker lists them, and as the artifacts service is asked to copy one."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from brightrun.contracts.events import AdapterRef, DatasetRef, Pricing
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import Value

MAX_STEP = 2**53


class MeasuredCheckpoint(BaseModel):
    """A checkpoint with the last metrics before it; null is not measured."""

    id: str = Field(examples=["1-1500"])
    attempt: int
    step: int
    saved_at: datetime
    training_loss: float | None
    token_accuracy: float | None
    validation_loss: float | None
    validation_token_accuracy: float | None


class CheckpointCopy(Value):
    """A checkpoint to be copied from the cluster of its run into the store, and the job that it is of."""

    job_id: UUID
    attempt: Annotated[int, Field(ge=1)]
    step: Annotated[int, Field(ge=0, le=MAX_STEP)]
    cluster: str
    external_job_id: str
    name: str
    spec: TrainingSpec
    gpu: GpuConfig
    dataset: DatasetRef
    pricing: Pricing
    validation: DatasetRef | None = None
    start: AdapterRef | None = None
