"""Settings of the services that talk to GPU clusters."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class ClusterSettings(BaseModel):
    """A GPU cluster. `gpu_types` and `gpus` are for clusters that do not report their GPUs themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    url: str
    key: SecretStr
    gpu_types: tuple[str, ...] | None = None
    gpus: Annotated[int | None, Field(ge=1)] = None


class ClustersSettings(BaseModel):
    """The clusters of an installation, to be mixed into a service's settings."""

    cluster_name: Annotated[str, Field(description="The cluster's name, as jobs show it.")] = "local"
    cluster_url: Annotated[str, Field(description="Where the cluster's API is.")]
    cluster_key: Annotated[SecretStr, Field(description="The bearer key of the cluster's API.")]
    clusters: Annotated[
        tuple[ClusterSettings, ...],
        Field(
            description="Further clusters: a JSON list of objects with name, url, key, and optionally gpu_types, gpus."
        ),
    ] = ()

    @property
    def all_clusters(self) -> tuple[ClusterSettings, ...]:
        """The first cluster and the further ones."""
        return ClusterSettings(name=self.cluster_name, url=self.cluster_url, key=self.cluster_key), *self.clusters

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [cluster.name for cluster in self.all_clusters]
        if len(set(names)) < len(names):
            raise ValueError(f"clusters need different names, not {', '.join(names)}")
        return self
