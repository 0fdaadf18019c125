"""Which runs a cluster takes, without a cluster."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster.errors import DiskFull, MemoryShort, NoCapacity, NotNow, TooManyRuns, Unsupported
from brightrun.cluster.models import FreeResources, Hardware, ResourceLimits
from brightrun.cluster.runs import admission, queries
from brightrun.cluster.store import SCHEMA
from brightrun.contracts.cluster_api import GpuCapacity, SubmitRun
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id

LIMITS = ResourceLimits(free_disk=1 << 30, free_memory=1 << 29, live_runs=10)
PLENTY = FreeResources(1 << 40, 1 << 40, live_runs=0)


def request(count: int = 1, kind: str = "CPU", base_model: str = "tiny") -> SubmitRun:
    return SubmitRun(
        job_id=new_id(),
        dataset_url="http://data",
        gpu_config=GpuConfig(type=kind, count=count),
        hyperparameters=TrainingSpec(base_model=base_model),
    )


def hardware(slots: int = 4, **changes: Any) -> Hardware:
    return Hardware(**{"gpus": {"CPU": slots}, "base_models": ("tiny",), "simulated": False} | changes)


def admit(submission: SubmitRun, owned: Hardware, leased: set[int], free: FreeResources = PLENTY) -> tuple[int, ...]:
    """The devices that the run gets."""
    admission.admit(submission, owned, len(leased), free, LIMITS)
    gpu = submission.gpu_config
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(SCHEMA)
        queries.lease_devices(conn, "another run", gpu.type, tuple(range(max(leased, default=-1) + 1)))
        conn.execute("UPDATE devices SET run_id = NULL")
        queries.lease_devices(conn, "another run", gpu.type, tuple(leased))
        return queries.free_devices(conn, gpu.type, gpu.count, owned.gpus[gpu.type])


def test_a_run_gets_the_first_free_devices() -> None:
    assert admit(request(2), hardware(), {0, 2}) == (1, 3)


@given(
    slots=st.integers(1, 16),
    leased=st.sets(st.integers(0, 15)),
    used_by_others=st.integers(0, 16),
    count=st.integers(1, 8),
)
def test_a_device_is_never_given_twice_and_never_more_than_there_are(
    slots: int, leased: set[int], used_by_others: int, count: int
) -> None:
    leased = {device for device in leased if device < slots}
    try:
        devices = admit(request(count), hardware(slots, used_by_others={"CPU": used_by_others}), leased)
    except NoCapacity:
        assert count > slots - used_by_others - len(leased)
        return
    assert len(set(devices)) == count
    assert not set(devices) & leased
    assert set(devices) <= set(range(slots))
    assert count + len(leased) + used_by_others <= slots


def test_all_that_is_unsupported_is_named_at_once() -> None:
    with pytest.raises(Unsupported) as rejection:
        admit(request(kind="H100", base_model="huge"), hardware(), set())
    assert set(rejection.value.details) == {"gpu_config.type", "hyperparameters.base_model"}


def test_more_than_there_will_ever_be_is_unsupported_and_more_than_there_is_now_is_not() -> None:
    with pytest.raises(Unsupported):
        admit(request(5), hardware(4, max_gpus={"CPU": 4}), set())
    with pytest.raises(NoCapacity):
        admit(request(5), hardware(4), set())


def test_a_cluster_without_base_models_runs_none_and_one_that_does_not_say_runs_any() -> None:
    with pytest.raises(Unsupported):
        admit(request(), hardware(base_models=()), set())
    assert admit(request(), hardware(base_models=None), set()) == (0,)


@pytest.mark.parametrize(
    ("free", "error"),
    [
        (FreeResources(LIMITS.free_disk - 1, 1 << 40, 0), DiskFull),
        (FreeResources(1 << 40, LIMITS.free_memory - 1, 0), MemoryShort),
        (FreeResources(1 << 40, 1 << 40, LIMITS.live_runs), TooManyRuns),
    ],
)
def test_a_machine_short_of_disk_or_memory_takes_no_run_and_has_no_free_gpu(
    free: FreeResources, error: type[NotNow]
) -> None:
    with pytest.raises(error) as rejection:
        admit(request(), hardware(), set(), free)
    assert rejection.value.status == 429
    capacity = admission.capacity(hardware(), {}, admission.rejection(free, LIMITS))
    assert (capacity.total_gpus, capacity.free_gpus) == (4, 0)


def test_memory_of_other_machines_is_ignored() -> None:
    assert admit(request(), hardware(), set(), FreeResources(1 << 40, None, 0)) == (0,)


def test_capacity_is_by_type_without_what_others_use() -> None:
    owned = hardware(gpus={"H100": 8, "CPU": 2}, used_by_others={"H100": 3})
    capacity = admission.capacity(owned, {"H100": 4, "CPU": 2}, None)
    assert capacity.gpus == (GpuCapacity(type="H100", total=8, free=1), GpuCapacity(type="CPU", total=2, free=0))
    assert (capacity.total_gpus, capacity.free_gpus) == (10, 1)
