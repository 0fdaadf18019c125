"""Settings of the artifacts service."""

from datetime import timedelta

from pydantic import Field, SecretStr

from brightrun.cluster_client.settings import ClustersSettings
from brightrun.runtime.settings import SliceSettings


class Settings(SliceSettings, ClustersSettings):
    """What the artifacts service is told.

    `s3_public_endpoint`: the store's address as clusters and users see it, put into signed URLs; without it they get
    `s3_endpoint`. `download_url_seconds`: how long a signed model URL works. `transfer_attempts`: after so many failed
    tries a model is `failed`; the pause between tries doubles from `transfer_retry_seconds`. `verify_hours`: how often
    the files of a stored model are compared with their digests; 0: never. `clusters`: further ones.
    """

    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: SecretStr
    s3_region: str = "us-east-1"
    s3_public_endpoint: str | None = None

    download_url_seconds: int = Field(default=3600, ge=1, le=604_800)
    transfer_attempts: int = Field(default=8, ge=1)
    transfer_retry_seconds: float = Field(default=10.0, gt=0)
    verify_hours: float = Field(default=24.0, ge=0)

    @property
    def download_url_lifetime(self) -> timedelta:
        """How long a signed model URL works."""
        return timedelta(seconds=self.download_url_seconds)
