"""HTTP bodies."""

from pydantic import BaseModel


class QueuePlace(BaseModel):
    """1 is next; None when the job does not wait."""

    position: int | None
