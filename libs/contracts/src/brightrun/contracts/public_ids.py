"""Identifiers of `/v1` and of webhooks: a prefix that names the kind, then the UUID without hyphens."""

from uuid import UUID

JOB = "ftjob-"
FILE = "file-"
EVENT = "evt_"


def write_id(prefix: str, value: UUID | str) -> str:
    """The public identifier of an object."""
    return prefix + (value if isinstance(value, UUID) else UUID(value)).hex
