"""What no cluster can ever run."""

from typing import Any

import pytest

from brightrun.contracts.placement import Needs, find_lacks
from brightrun.contracts.scheduling import ClusterCapacity, GpuLimit


def cluster(*pools: tuple[list[str] | None, int | None], **changes: Any) -> ClusterCapacity:
    """One that has these GPUs, by types the most that a job can have, and the model `tiny`."""
    gpus = [GpuLimit(types=types, free=most, max_total=most) for types, most in pools]
    said = {"name": "local", "usable": True, "gpus": gpus, "base_models": ["tiny"], "inputs": False}
    return ClusterCapacity(**said | changes)


def needs(kind: str = "CPU", count: int = 1, base_model: str = "tiny", inputs: bool = False) -> Needs:
    return Needs(kind, count, base_model, inputs)


CPU = cluster((["CPU"], 2), inputs=True)
H100 = cluster((["H100"], 8), base_models=["small"])
ANYTHING = cluster((None, None), base_models=None, inputs=True)


def test_a_job_that_one_of_the_clusters_can_run_lacks_nothing() -> None:
    assert find_lacks([CPU, H100], needs(inputs=True)) == {}
    assert find_lacks([CPU, H100], needs("H100", 8, "small")) == {}


@pytest.mark.parametrize(
    ("job", "lack", "named"),
    [
        (needs("V100", 1, "small"), "gpu_type", "CPU, H100"),
        (needs("H100", 9, "small"), "gpu_count", "more than 8"),
        (needs("CPU", 1, "nope"), "base_model", "there are tiny"),
        (needs("H100", 1, "tiny"), "base_model", "there are small"),
        (needs("H100", 1, "small", inputs=True), "inputs", "validation data set"),
    ],
)
def test_what_no_cluster_has_is_named_with_what_there_is(job: Needs, lack: str, named: str) -> None:
    [(found, message)] = find_lacks([CPU, H100], job).items()
    assert found == lack
    assert named in message


def test_all_that_the_nearest_cluster_lacks_is_named_at_once() -> None:
    assert find_lacks([CPU], needs("H100", 1, "nope")).keys() == {"gpu_type", "base_model"}


@pytest.mark.parametrize(
    "unknown", [cluster(gpus=None, base_models=None), ANYTHING, cluster((["H100"], None), base_models=None)]
)
def test_what_is_unknown_or_may_come_is_not_lacking(unknown: ClusterCapacity) -> None:
    assert find_lacks([CPU, unknown], needs("H100", 8, "nope")) == {}


def test_without_clusters_nothing_is_known() -> None:
    assert find_lacks([], needs("V100")) == {}


@pytest.mark.parametrize("path", ["/etc", "../../x", "..", "./tiny", "https://host/model", "a/b/c", "", "tiny/"])
def test_a_path_is_no_base_model_anywhere(path: str) -> None:
    assert find_lacks([ANYTHING], needs(base_model=path)).keys() == {"base_model"}
