"""What a job's stream says: entries of its log, and how far it is."""

from datetime import datetime
from typing import Any, Literal, Self

from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field

from brightrun.api.models import Job
from brightrun.api.schemas.body import Number
from brightrun.api.schemas.jobs import JobView
from brightrun.contracts.job_status import JobStatus


class LogEntry(BaseModel):
    """A line of the job's log."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    type: str
    level: Literal["info", "warn", "error"]
    message: str
    data: dict[str, Any]
    occurred_at: datetime

    def event(self) -> bytes:
        """As the event `log`, whose id a client sends back to go on from there."""
        return format_sse_event(event="log", id=str(self.id), data_str=self.model_dump_json())


class Progress(BaseModel):
    """How far the job is, in the words of the job itself; money in USD."""

    model_config = ConfigDict(from_attributes=True)

    status: JobStatus
    current_stage: str
    progress: float = Field(description="percent")
    current_epoch: float
    total_epochs: float
    current_step: int
    total_steps: int
    current_metrics: dict[str, float]
    eta_seconds: float | None
    trained_tokens: int
    current_cost: Number

    @classmethod
    def of(cls, job: Job, now: datetime) -> Self:
        """The job at a moment, which decides what it has cost."""
        return cls.model_validate(JobView.of(job, now))

    def event(self) -> bytes:
        """As the event `progress`, which has no id: the next one makes up for a lost one."""
        return format_sse_event(event="progress", data_str=self.model_dump_json())


class Checkpoint(BaseModel):
    """A state that the job saved, with what had been measured last; null is not measured."""

    id: str = Field(examples=["1-1500"])
    attempt: int
    step: int
    saved_at: datetime
    training_loss: float | None
    token_accuracy: float | None
    validation_loss: float | None
    validation_token_accuracy: float | None


class Checkpoints(BaseModel):
    """A job's checkpoints, newest first."""

    checkpoints: list[Checkpoint]
