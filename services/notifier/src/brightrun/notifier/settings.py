"""What the operator of the notifier sets."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from brightrun.runtime.settings import SliceSettings


class Settings(SliceSettings):
    """The notifier's settings.

    `webhook_key`: seals the webhooks' secrets in the database; with another one all of them have to be rotated.
    `webhook_private_hosts`: hosts that webhooks may be sent to though they are private, and without TLS.
    """

    webhook_key: Annotated[SecretStr, Field(min_length=32)]
    webhook_private_hosts: Annotated[frozenset[str], NoDecode] = frozenset()

    @field_validator("webhook_private_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """`host` or `host:port`, separated by commas."""
        if not isinstance(value, str):
            return value
        return frozenset(name.strip().lower() for name in value.split(",")) - {""}
