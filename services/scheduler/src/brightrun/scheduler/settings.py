"""The scheduler's settings."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr

from brightrun.cluster_client.settings import ClustersSettings
from brightrun.runtime.settings import SliceSettings


class Settings(SliceSettings, ClustersSettings):
    """Where the clusters and the data sets are, and how GPUs are shared."""

    callback_secret: Annotated[SecretStr, Field(description="The secret that the cluster signs its callbacks with.")]
    callback_url: Annotated[
        str | None,
        Field(description="Where the cluster reaches this service's /callbacks; by default on host and port."),
    ] = None
    artifacts_url: Annotated[str, Field(description="Where the artifacts service is.")]
    quota_gpus: Annotated[
        int | None, Field(ge=0, description="GPUs that a user may hold at once, unless given another quota.")
    ] = None
    job_attempts: Annotated[int, Field(ge=1, description="How often a job is tried when clusters lose it.")] = 3
    cluster_silence_seconds: Annotated[
        float,
        Field(
            ge=15, description="How long a cluster may be silent before its jobs are tried again, elsewhere if need be."
        ),
    ] = 120.0
    stop_unknown_runs: Annotated[
        bool,
        Field(
            description="Whether runs of jobs that were never heard of are stopped; not where others use a cluster too."
        ),
    ] = True

    @property
    def cluster_silence(self) -> timedelta:
        """How long a cluster may be silent."""
        return timedelta(seconds=self.cluster_silence_seconds)

    @property
    def callbacks(self) -> str:
        """The URL that is sent along with every submission."""
        return self.callback_url or f"http://{self.host}:{self.port}/callbacks"
