"""The scheduler's settings."""

from typing import Annotated

from pydantic import Field, SecretStr

from brightrun.runtime.settings import SliceSettings


class Settings(SliceSettings):
    """Where the cluster and the data sets are."""

    cluster_name: Annotated[str, Field(description="The cluster's name, as jobs show it.")] = "local"
    cluster_url: Annotated[str, Field(description="Where the cluster's API is.")]
    cluster_key: Annotated[SecretStr, Field(description="The bearer key of the cluster's API.")]
    callback_secret: Annotated[SecretStr, Field(description="The secret that the cluster signs its callbacks with.")]
    callback_url: Annotated[
        str | None,
        Field(description="Where the cluster reaches this service's /callbacks; by default on host and port."),
    ] = None
    artifacts_url: Annotated[str, Field(description="Where the artifacts service is.")]

    @property
    def callbacks(self) -> str:
        """The URL that is sent along with every submission."""
        return self.callback_url or f"http://{self.host}:{self.port}/callbacks"
