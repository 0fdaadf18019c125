"""The cluster service's settings."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from brightrun.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """What a cluster is made of and who may use it."""

    cluster_name: Annotated[str, Field(description="The cluster's name, as jobs show it.")] = "local"
    cluster_home: Annotated[Path, Field(description="The folder of the cluster's database and of its runs.")]
    cluster_key: Annotated[
        SecretStr, Field(min_length=16, description="The bearer key of the cluster's API; also signs its file URLs.")
    ]
    callback_secret: Annotated[SecretStr, Field(description="The secret that the cluster signs its callbacks with.")]
    executor: Annotated[
        Literal["local", "simulated"],
        Field(description="`local` trains; `simulated` makes numbers up for load tests, and says so."),
    ] = "local"
    trainer_python: Annotated[
        Path | None, Field(description="The Python of the trainer's environment; the `local` executor needs it.")
    ] = None
    models: Annotated[
        Path | None, Field(description="The folder of base models, one subfolder each; the `local` executor needs it.")
    ] = None
    gpu_type: Annotated[str, Field(description="The row of the price table that this machine's GPUs are.")] = "CPU"
    slots: Annotated[int, Field(ge=1, description="How many GPUs there are to be used at once.")] = 1
    max_restarts: Annotated[
        int, Field(ge=0, description="How often a run whose trainer died is resumed before it counts as lost.")
    ] = 3
    stop_grace_seconds: Annotated[
        float, Field(gt=0, description="How long a trainer may take to save a checkpoint when it is stopped.")
    ] = 4.0
    file_url_seconds: Annotated[int, Field(gt=0, description="How long the URL of a run's file is good for.")] = 3600
    simulated_steps_per_second: Annotated[
        float, Field(gt=0, description="The speed at which the `simulated` executor pretends to train.")
    ] = 20.0
