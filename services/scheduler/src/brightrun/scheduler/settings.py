"""The scheduler's settings."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from brightrun.runtime.settings import SliceSettings


class ClusterSettings(BaseModel):
    """A GPU cluster. `gpu_types` and `gpus` are for those that do not say themselves what they have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    url: str
    key: SecretStr
    gpu_types: tuple[str, ...] | None = None
    gpus: Annotated[int | None, Field(ge=1)] = None


class Settings(SliceSettings):
    """Where the clusters and the data sets are, and how GPUs are shared."""

    cluster_name: Annotated[str, Field(description="The cluster's name, as jobs show it.")] = "local"
    cluster_url: Annotated[str, Field(description="Where the cluster's API is.")]
    cluster_key: Annotated[SecretStr, Field(description="The bearer key of the cluster's API.")]
    clusters: Annotated[
        tuple[ClusterSettings, ...],
        Field(
            description="Further clusters: a JSON list of objects with name, url, key, and optionally gpu_types, gpus."
        ),
    ] = ()
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

    @property
    def all_clusters(self) -> tuple[ClusterSettings, ...]:
        """The first cluster and the further ones."""
        return ClusterSettings(name=self.cluster_name, url=self.cluster_url, key=self.cluster_key), *self.clusters

    @model_validator(mode="after")
    def _names_differ(self) -> "Settings":
        names = [cluster.name for cluster in self.all_clusters]
        if len(set(names)) < len(names):
            raise ValueError(f"clusters need different names, not {', '.join(names)}")
        return self
