"""Which jobs, points and events a caller wants; unknown parameters are refused."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.json_schema import WithJsonSchema

from brightrun.api.queries.job_lists import JobFilter
from brightrun.api.rules import periods
from brightrun.contracts.job_status import JobStatus

MOMENT = WithJsonSchema({"type": "string", "maxLength": 40, "examples": ["2026-11-24", "2026-11-24T12:00:00Z"]})
From = Annotated[datetime, BeforeValidator(periods.first_moment), MOMENT]
To = Annotated[datetime, BeforeValidator(periods.last_moment), MOMENT]
Step = Annotated[int, Field(ge=0, le=2**53)]


class Wanted(BaseModel):
    """What a caller may ask for, and nothing else."""

    model_config = ConfigDict(extra="forbid")


class JobsWanted(Wanted):
    """A page of jobs: of any of the statuses, with `q` in their names or as the beginning of their ids."""

    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    status: Annotated[tuple[JobStatus, ...], Field(max_length=10, description="several may be given")] = ()
    dataset_id: UUID | None = None
    q: Annotated[
        str | None,
        StringConstraints(max_length=200, pattern=r"^[^\x00]*$"),
        Field(description="part of the name or of the data set's, or the beginning of the id"),
    ] = None
    created_from: From | None = None
    created_to: Annotated[To | None, Field(description="included; of a bare date, the whole day")] = None

    def filter(self) -> JobFilter:
        """What decides which jobs there are."""
        return JobFilter(self.status, self.dataset_id, self.q, self.created_from, self.created_to)


class MetricsWanted(Wanted):
    """Part of a curve."""

    first: Annotated[Step | None, Field(alias="from")] = None
    last: Annotated[Step | None, Field(alias="to")] = None
    max_points: Annotated[int, Field(ge=10, le=10_000)] = 1000


class EventsWanted(Wanted):
    """Part of a history."""

    after: Step = 0
    limit: Annotated[int, Field(ge=1, le=100)] = 100
