"""Bodies and query parameters of comparisons."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, field_validator

from brightrun.api.comparison.models import QUANTITIES, Axis
from brightrun.api.http.parameters import WHOLE_NUMBER
from brightrun.api.jobs.schemas import QueryModel

MAX_JOBS = 8


class CompareQuery(QueryModel):
    """Up to 8 jobs and the quantities of their curves, each separated by commas."""

    jobs: Annotated[str, Field(max_length=400, description="ids, separated by commas", examples=["id1,id2"])]
    names: Annotated[str, Field(max_length=400, description=", ".join(QUANTITIES))] = "training_loss,validation_loss"
    x: Axis = "step"
    max_points: Annotated[int, Field(ge=10, le=2000), WHOLE_NUMBER] = 500

    @field_validator("jobs")
    @classmethod
    def _are_ids(cls, text: str) -> str:
        ids = text.split(",")
        for job_id in ids:
            UUID(job_id)
        if len(set(ids)) != len(ids) or len(ids) > MAX_JOBS:
            raise ValueError(f"give up to {MAX_JOBS} different jobs")
        return text

    @field_validator("names")
    @classmethod
    def _are_quantities(cls, text: str) -> str:
        if unknown := sorted(set(text.split(",")) - set(QUANTITIES)):
            raise ValueError(f"there is no {', '.join(unknown)}: choose among {', '.join(QUANTITIES)}")
        return text

    @property
    def job_ids(self) -> list[UUID]:
        """The jobs, in the order in which they were given."""
        return [UUID(job_id) for job_id in self.jobs.split(",")]


class Series(BaseModel):
    """One quantity of one job: where it was measured on the axis, and its values."""

    job_id: UUID
    name: str
    x: list[float]
    y: list[float]


class ComparedJob(BaseModel):
    """A job of the comparison."""

    id: UUID
    name: str
    status: str


class Comparison(BaseModel):
    """The curves of jobs over one axis.

    `x` is steps, seconds with GPUs (pauses left out), tokens (steps × the average of a step), or dollars of GPU time.
    """

    jobs: list[ComparedJob]
    x: Axis
    series: list[Series]
