"""The cluster service's settings."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from brightrun.cluster.models import ResourceLimits
from brightrun.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """docs/settings.md says more."""

    cluster_name: str = Field("local", description="Name of the cluster, as jobs show it.")
    cluster_home: Path = Field(description="Folder of the cluster's database and runs.")
    cluster_key: SecretStr = Field(min_length=16, description="Bearer key of the cluster API; also signs file URLs.")
    callback_secret: SecretStr = Field(description="Signs the callbacks of the cluster.")
    executor: Literal["local", "ray", "simulated"] = Field("local", description="Where trainers run, if at all.")
    runs_home: Path | None = Field(None, description="Folder of the runs; `runs` in the cluster's home by default.")
    trainer_python: Path | None = Field(None, description="Python of the trainer's environment.")
    models: Path | None = Field(None, description="Folder of base models, one subfolder each.")
    gpu_type: str = Field("CPU", description="Type (row of the price table) of this machine's GPUs.")
    slots: int = Field(1, ge=1, description="Number of GPUs.")
    max_restarts: int = Field(3, ge=0, description="How often a run resumes after its trainer died.")
    stop_grace_seconds: float = Field(4.0, gt=0, description="Time to save a checkpoint after a stop.")
    finish_grace_seconds: float = Field(120.0, gt=0, description="Time to evaluate and deliver after an early finish.")
    patience_seconds: float = Field(600.0, gt=0, description="Time that a run waits for disk, memory or the Ray head.")
    file_url_seconds: int = Field(3600, gt=0, description="Lifetime of the URL of a run's file.")
    generators: int = Field(1, ge=0, description="Number of models that can be tried at once.")
    generation_devices: str = Field("", description="GPUs that models are tried on, as `CUDA_VISIBLE_DEVICES`.")
    generation_seconds: float = Field(60.0, gt=0, description="Time limit of a completion, which then ends.")
    simulated_steps_per_second: float = Field(20.0, gt=0, description="Speed of the simulated executor.")

    free_disk_bytes: int = Field(1 << 30, ge=0, description="With less free, no run is taken, no trainer started.")
    free_memory_bytes: int = Field(512 << 20, ge=0, description="With less free, no run is taken, no trainer started.")
    max_live_runs: int = Field(10_000, ge=1, description="Maximum number of live runs, whatever the GPUs.")
    run_memory_bytes: int | None = Field(None, gt=0, description="Memory limit of a trainer.")
    run_file_bytes: int = Field(256 << 30, gt=0, description="Size limit of a file that a trainer writes.")
    keep_run_days: float = Field(30.0, gt=0, description="How long folders of finished, downloaded runs are kept.")
    keep_checkpoint_days: float = Field(7.0, ge=0, description="How long runs that did not complete can be resumed.")
    keep_free_bytes: int = Field(5 << 30, ge=0, description="With less disk free, finished runs lose files early.")
    keep_event_days: float = Field(7.0, gt=0, description="Retention of the events of runs.")

    ray_url: str | None = Field(None, description="Dashboard of the Ray head.")
    ray_token: SecretStr | None = Field(None, description="Token of a Ray cluster with authentication.")
    ray_gpu_types: dict[str, str] = Field({}, description="JSON: rows of the price table to Ray's accelerator types.")
    ray_max_gpus: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="JSON: how many GPUs of which row a Ray cluster with an autoscaler grows to."
    )
    ray_cpus_per_gpu: float = Field(1.0, gt=0, description="CPUs that a run takes for each of its GPUs.")

    def limits(self) -> ResourceLimits:
        """When no run is taken, whatever the GPUs."""
        return ResourceLimits(self.free_disk_bytes, self.free_memory_bytes, self.max_live_runs)

    def run_path(self, run_id: str) -> Path:
        return (self.runs_home or self.cluster_home / "runs").resolve() / run_id
