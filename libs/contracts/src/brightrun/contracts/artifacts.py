"""Bodies and limits of data sets, uploads and models that the artifacts service shares with its callers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from brightrun.contracts.values import Value

MAX_UPLOAD_BYTES = 8 * 1024**3
MAX_PART_BYTES = 64 * 1024**2
MAX_PARTS = 10_000

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Version = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]
MAX_PREVIEWED = 50
"""Examples in one preview."""
MAX_COLUMNS_LENGTH = 4000
"""Characters of the JSON text that names the columns of a data set."""


class DatasetChanges(BaseModel):
    """The new name of a data set."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class ModelChanges(BaseModel):
    """The new name and version of a model; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    version: Version | None = None


class DownloadRequest(BaseModel):
    """Which files of a model to sign URLs for; all of them unless some are named."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[list[str], Field(max_length=1000)] | None = None


class SignedUrl(Value):
    """A URL that works without a key for `expires_in` seconds."""

    url: str
    expires_in: int


class SignedUrls(Value):
    """The URL of each file; they work without a key for `expires_in` seconds."""

    download_urls: dict[str, str]
    expires_in: int
