"""What an event is, and what the catalogue says of its topic. Names no concrete event."""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from brightrun.contracts.values import Utc, Value, new_id, utc_now


class Event(Value):
    """A fact that happened. Events with the same `key` are read in the order in which they were written."""

    topic: ClassVar[str]

    event_id: UUID = Field(default_factory=new_id)
    occurred_at: Utc = Field(default_factory=utc_now)

    @property
    @abstractmethod
    def key(self) -> str:
        """The Kafka key."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A catalogue entry: an event with the shape of its topic and who writes and reads it."""

    event: type[Event]
    owner: str
    readers: tuple[str, ...]
    partitions: int = 12
    retention: timedelta = timedelta(days=7)

    @property
    def name(self) -> str:
        """The Kafka topic."""
        return self.event.topic

    @property
    def fact(self) -> str:
        """The event's meaning in one sentence."""
        return (self.event.__doc__ or "").split(" Owner:")[0].strip()
