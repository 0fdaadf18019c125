"""What clusters can run, by their last reports: the scheduler places by it, the api rejects at submission by it."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from brightrun.contracts.values import Value

BASE_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
"""A folder in a cluster's models folder, or a name on the Hugging Face Hub: `tiny`, `Qwen/Qwen2.5-0.5B-Instruct`."""

Lack = Literal["gpu_type", "gpu_count", "base_model", "inputs"]


class Needs(NamedTuple):
    """What a job needs of a cluster. `inputs`: a validation data set of its own, or an adapter to start from."""

    gpu_type: str
    gpus: int
    base_model: str
    inputs: bool


class GpuSupply(Value):
    """GPUs of a cluster. `type` None: any; other fields None: unknown. `max_count`: the most that a job can have."""

    type: str | None
    total: int | None
    free: int | None
    max_count: int | None


class ClusterSupply(Value):
    """What a cluster can run, by its last report, also while it is away.

    `available`: it answers and is not drained. `gpus` None: it has never reported. `elastic`: it may get more GPUs than
    it has now. `hub`: it fetches base models that it does not have; None for elastic and hub: it does not say.
    """

    name: str
    available: bool
    simulated: bool = False
    gpus: tuple[GpuSupply, ...] | None = None
    elastic: bool | None = None
    base_models: tuple[str, ...] = ()
    hub: bool | None = None
    inputs: bool = False

    def has_model(self, base_model: str) -> bool:
        """Whether it has the base model, may fetch it, or does not say."""
        return self.hub is not False or base_model in self.base_models

    def lacks(self, needs: Needs) -> set[Lack]:
        """What it will never have of the needs; nothing that is unknown counts."""
        if self.gpus is None:
            return set()
        lacks: set[Lack] = set()
        pools = [pool for pool in self.gpus if pool.type in (None, needs.gpu_type)]
        if not pools:
            lacks.add("gpu_type")
        elif not self.elastic and all(pool.max_count is not None and needs.gpus > pool.max_count for pool in pools):
            lacks.add("gpu_count")
        if not self.has_model(needs.base_model):
            lacks.add("base_model")
        if needs.inputs and not self.inputs:
            lacks.add("inputs")
        return lacks


def find_lacks(clusters: Sequence[ClusterSupply], needs: Needs) -> dict[Lack, str]:
    """Why no cluster can ever run the job: what the nearest one lacks, each with a message. Empty if one can, or may.

    A base model that is not a name is lacking everywhere.
    """
    problems: dict[Lack, str] = {}
    if not BASE_MODEL_NAME.fullmatch(needs.base_model):
        problems["base_model"] = f"{needs.base_model} is no name of a base model: paths and URLs are not accepted"
    if clusters:
        nearest = min((cluster.lacks(needs) for cluster in clusters), key=len)
        problems = {lack: _message(lack, clusters, needs) for lack in sorted(nearest)} | problems
    return problems


def _message(lack: Lack, clusters: Sequence[ClusterSupply], needs: Needs) -> str:
    pools = [pool for cluster in clusters for pool in cluster.gpus or ()]
    match lack:
        case "gpu_type":
            return f"no cluster has {needs.gpu_type}: there are {_listed(pool.type for pool in pools)}"
        case "gpu_count":
            most = max(pool.max_count or 0 for pool in pools if pool.type in (None, needs.gpu_type))
            return f"no cluster has {needs.gpus} × {needs.gpu_type} for one job: there are at most {most}"
        case "base_model":
            models = _listed(model for cluster in clusters for model in cluster.base_models)
            return f"no cluster has the base model {needs.base_model}: there are {models}"
        case "inputs":
            return "no cluster that has these GPUs accepts a validation data set or an adapter to start from"


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(sorted({name for name in names if name})) or "none"
