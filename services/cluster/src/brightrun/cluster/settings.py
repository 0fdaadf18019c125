"""The cluster service's settings."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from brightrun.cluster.models import ResourceLimits
from brightrun.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Every setting is `BRIGHTRUN_` and its name in the environment."""

    cluster_name: Annotated[str, Field(description="The cluster's name, as jobs show it.")] = "local"
    cluster_home: Annotated[Path, Field(description="The folder of the cluster's database and of its runs.")]
    cluster_key: Annotated[
        SecretStr, Field(min_length=16, description="The bearer key of the cluster's API; also signs its file URLs.")
    ]
    callback_secret: Annotated[SecretStr, Field(description="The secret that the cluster signs its callbacks with.")]
    executor: Annotated[
        Literal["local", "ray", "simulated"],
        Field(
            description="`local` trains on this machine, `ray` on a Ray cluster; `simulated` makes numbers up for load "
            "tests, and says so."
        ),
    ] = "local"
    runs_home: Annotated[
        Path | None,
        Field(description="The folder of the runs, `runs` in the cluster's home by default; `ray` needs a shared one."),
    ] = None
    trainer_python: Annotated[
        Path | None, Field(description="The Python of the trainer's environment; all but `simulated` need it.")
    ] = None
    models: Annotated[
        Path | None, Field(description="The folder of base models, one subfolder each; all but `simulated` need it.")
    ] = None
    gpu_type: Annotated[str, Field(description="The row of the price table that this machine's GPUs are.")] = "CPU"
    slots: Annotated[int, Field(ge=1, description="How many GPUs there are to be used at once.")] = 1
    max_restarts: Annotated[
        int, Field(ge=0, description="How often a run whose trainer died is resumed before it counts as lost.")
    ] = 3
    stop_grace_seconds: Annotated[
        float, Field(gt=0, description="How long a trainer may take to save a checkpoint when it is stopped.")
    ] = 4.0
    finish_grace_seconds: Annotated[
        float, Field(gt=0, description="How long a trainer that shall finish may take to evaluate and deliver.")
    ] = 120.0
    patience_seconds: Annotated[
        float, Field(gt=0, description="How long a run waits for disk, memory or the Ray head before it fails.")
    ] = 600.0
    file_url_seconds: Annotated[int, Field(gt=0, description="How long the URL of a run's file is good for.")] = 3600
    generators: Annotated[
        int,
        Field(ge=0, description="How many models can be tried at once, each with a base model of its own in memory."),
    ] = 1
    generation_devices: Annotated[
        str,
        Field(
            description="The GPUs that models are tried on, as `CUDA_VISIBLE_DEVICES`; on the CPU if there are none."
        ),
    ] = ""
    generation_seconds: Annotated[
        float, Field(gt=0, description="How long an answer may take; what is there by then is all of it.")
    ] = 60.0
    simulated_steps_per_second: Annotated[
        float, Field(gt=0, description="The speed at which the `simulated` executor pretends to train.")
    ] = 20.0

    free_disk_bytes: Annotated[
        int, Field(ge=0, description="With less disk free than this, no run is taken and no trainer started.")
    ] = 1 << 30
    free_memory_bytes: Annotated[
        int, Field(ge=0, description="With less memory free than this, no run is taken and no trainer started.")
    ] = 512 << 20
    max_live_runs: Annotated[int, Field(ge=1, description="The most runs at once, whatever the GPUs.")] = 10_000
    run_memory_bytes: Annotated[
        int | None, Field(gt=0, description="A trainer that takes more memory is ended; no limit by default.")
    ] = None
    run_file_bytes: Annotated[int, Field(gt=0, description="The largest file that a trainer may write.")] = 256 << 30
    keep_run_days: Annotated[
        float, Field(gt=0, description="How long the folders of finished runs are kept, if their files were fetched.")
    ] = 30.0
    keep_free_bytes: Annotated[
        int,
        Field(ge=0, description="With less disk free than this, finished runs lose data sets, then more, early."),
    ] = 5 << 30
    keep_event_days: Annotated[
        float, Field(gt=0, description="How long the events of runs can be read; the scheduler reads them at once.")
    ] = 7.0

    ray_url: Annotated[str | None, Field(description="The address of the Ray head's dashboard; `ray` needs it.")] = None
    ray_token: Annotated[SecretStr | None, Field(description="The token of a Ray cluster with authentication.")] = None
    ray_gpu_types: Annotated[
        dict[str, str],
        Field(
            description='JSON: rows of the price table to Ray\'s accelerator types, `{"H100": "H100"}`; an empty '
            "type means any GPU, the row `CPU` no GPU. By default all is of `GPU_TYPE`."
        ),
    ] = Field(default_factory=dict)
    ray_cpus_per_gpu: Annotated[
        float,
        Field(gt=0, description="How many CPUs of Ray's a run takes for each of its GPUs, or as one of type CPU."),
    ] = 1.0

    def limits(self) -> ResourceLimits:
        """When no run is taken, whatever the GPUs."""
        return ResourceLimits(self.free_disk_bytes, self.free_memory_bytes, self.max_live_runs)

    def run_path(self, run_id: str) -> Path:
        """The folder of a run."""
        return (self.runs_home or self.cluster_home / "runs").resolve() / run_id
