"""Bodies of API keys."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_serializer, field_validator

from brightrun.api.models import Scope
from brightrun.api.schemas.body import Body, example
from brightrun.contracts.values import Utc, utc_now

MAX_DAYS = 3650


class CreateKey(Body):
    """A new key. It never expires unless it is said when; `train` goes with `read`, `admin` with both."""

    model_config = example({"name": "nightly training", "scopes": ["train"], "expires_in_days": 90})

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3, examples=[["train"]])]
    expires_at: Utc | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None

    @field_validator("expires_at")
    @classmethod
    def _lies_ahead(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment <= utc_now():
            raise ValueError("must lie in the future")
        return moment

    @field_validator("expires_in_days")
    @classmethod
    def _says_it_once(cls, days: int | None, known: ValidationInfo) -> int | None:
        if days is not None and known.data.get("expires_at") is not None:
            raise ValueError("give either expires_at or expires_in_days")
        return days

    def end(self, now: datetime) -> datetime | None:
        """When the key expires if it is made now."""
        return self.expires_at if self.expires_in_days is None else now + timedelta(days=self.expires_in_days)


class KeyView(BaseModel):
    """A key without its secret. `prefix` is how it begins; `last_used_at` is true to the minute."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    scopes: frozenset[Scope]
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @field_serializer("scopes")
    def _in_order(self, scopes: frozenset[Scope]) -> list[Scope]:
        return sorted(scopes)


class CreatedKey(KeyView):
    """A new key with its secret, which is shown only this once."""

    key: str


class Keys(BaseModel):
    """Newest first."""

    keys: list[KeyView]
