"""What no configured cluster can ever run is found by the clusters' last reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.pricing.runnability import availability_of_gpu, availability_of_model, problems
from brightrun.contracts.scheduling import ClusterCapacity, GpuLimit
from brightrun.contracts.training import GpuConfig

CPU = GpuConfig(type="CPU", count=2)


def cluster(*pools: tuple[list[str] | None, int | None, int | None], **changes: object) -> ClusterCapacity:
    """Of pools as `(types, free, max_total)`."""
    gpus = [GpuLimit(types=types, free=free, max_total=total) for types, free, total in pools]
    values = {"name": "local", "gpus": gpus, "base_models": ["tiny"], "usable": True}
    return ClusterCapacity.model_validate(values | changes)


SMALL = cluster((["CPU"], 1, 2))
LARGE = cluster((["H100", "A100-80GB"], 0, 8), name="large", base_models=["Qwen/Qwen3-4B"], usable=False)


@pytest.mark.parametrize(
    ("gpu", "base_model", "clusters", "fields"),
    [
        (CPU, "tiny", [SMALL, LARGE], {}),
        (CPU, "tiny", [], {}),
        (CPU, "nope", None, {}),
        (GpuConfig(type="H100"), "tiny", [SMALL], {"gpu_config.type": "there are CPU"}),
        (GpuConfig(type="H100", count=8), "Qwen/Qwen3-4B", [SMALL, LARGE], {}),
        (GpuConfig(type="CPU", count=3), "tiny", [SMALL, LARGE], {"gpu_config.count": "more than 2 × CPU"}),
        (CPU, "gpt2", [SMALL], {"hyperparameters.base_model": "there are tiny"}),
        (CPU, "Qwen/Qwen3-4B", [SMALL, LARGE], {"hyperparameters.base_model": "there are tiny"}),
        (
            GpuConfig(type="TPU", count=9 - 1),
            "/etc",
            [SMALL, LARGE],
            {"gpu_config.type": "A100-80GB, CPU, H100", "hyperparameters.base_model": "Qwen/Qwen3-4B, tiny"},
        ),
        (CPU, "owner/model", [cluster((["CPU"], 1, 2), fetches_models=True)], {}),
        (CPU, "../../x", [cluster((["CPU"], 1, 2), fetches_models=False)], {"hyperparameters.base_model": "tiny"}),
        (CPU, "nope", [cluster((["CPU"], 1, 2), base_models=None)], {}),
        (GpuConfig(type="any", count=8), "tiny", [cluster((None, None, None))], {}),
        (GpuConfig(type="any"), "nope", [SMALL, cluster(gpus=None, base_models=None)], {}),
    ],
)
def test_what_no_cluster_can_ever_run_has_problems(gpu, base_model, clusters, fields) -> None:
    found = problems(gpu, base_model, clusters)

    assert found.keys() == fields.keys()
    for field, text in fields.items():
        assert text in found[field][0]


def test_gpus_and_models_are_available_now_later_or_never() -> None:
    assert [availability_of_gpu(name, [SMALL, LARGE]) for name in ("CPU", "H100", "TPU")] == ["now", "later", "never"]
    names = ("tiny", "Qwen/Qwen3-4B", "gpt2")
    assert [availability_of_model(name, [SMALL, LARGE]) for name in names] == ["now", "later", "never"]
    assert availability_of_gpu("CPU", [cluster((["CPU"], 0, 2))]) == "later"
    assert availability_of_gpu("TPU", None) == availability_of_model("gpt2", None) == "later"


POOLS = st.tuples(
    st.none() | st.lists(st.sampled_from("abc"), max_size=2),
    st.none() | st.integers(0, 4),
    st.none() | st.integers(0, 4),
)
CLUSTERS = st.lists(
    st.builds(
        lambda pools, models, usable: cluster(*pools, base_models=models, usable=usable),
        st.lists(POOLS, max_size=2),
        st.none() | st.lists(st.sampled_from("mno"), min_size=1, max_size=2),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


@given(st.sampled_from("abc"), st.integers(1, 8), st.sampled_from("mno"), CLUSTERS)
def test_a_job_has_problems_just_if_each_cluster_alone_has(gpu_type, count, base_model, clusters) -> None:
    gpu = GpuConfig(type=gpu_type, count=count)
    alone = [bool(problems(gpu, base_model, [single])) for single in clusters]

    assert bool(problems(gpu, base_model, clusters)) == all(alone)
