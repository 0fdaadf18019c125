"""What of a cluster can be used."""

from dataclasses import replace

import pytest

from brightrun.contracts.cluster_api import Capabilities, Capacity, GpuCapacity
from brightrun.contracts.placement import Needs, find_lacks
from brightrun.scheduler.clusters import rules as capacity
from brightrun.scheduler.clusters.models import ClusterReport, GpuPool
from brightrun.scheduler.clusters.rules import UNLIMITED

CPU, H100 = frozenset(["CPU"]), frozenset(["H100"])


def pool(types=CPU, total=8, free=8, max_total=None) -> GpuPool:
    return GpuPool(types, total, free, total if max_total is None else max_total)


def report(*pools: GpuPool, name="local", usable=True, **taken: int) -> ClusterReport:
    return ClusterReport(name, pools, taken, usable, capabilities=capabilities("CPU"))


def capabilities(*types: str, **changes) -> Capabilities:
    return Capabilities(name="local", version="1", executor="ray", gpu_types=types, **changes)


def can_never_run(reports: list[ClusterReport], gpu_type: str, gpus: int) -> bool:
    return bool(find_lacks([capacity.capacity_of(report) for report in reports], Needs(gpu_type, gpus, "tiny", False)))


def test_gpus_are_counted_by_type() -> None:
    said = Capacity(
        total_gpus=10,
        free_gpus=3,
        gpus=(GpuCapacity(type="CPU", total=8, free=2), GpuCapacity(type="H100", total=2, free=1)),
    )
    assert capacity.pools_of(capabilities("CPU", "H100"), said) == (pool(free=2), pool(H100, 2, 1))


def test_the_types_of_an_older_cluster_share_its_free_gpus() -> None:
    said = Capacity(total_gpus=10, free_gpus=3)
    assert capacity.pools_of(capabilities("CPU", "H100"), said) == (pool(CPU | H100, 10, 3),)


def test_a_cluster_without_capacity_takes_any_type_until_it_is_busy() -> None:
    pools = capacity.pools_of(capabilities(), None)
    assert pools == (GpuPool(None, None, None, None),)
    assert [gpus.free for gpus in capacity.free_gpus_of([report(*pools, CPU=5)])] == [UNLIMITED]


@pytest.mark.parametrize(("taken", "free"), [({}, 5), ({"CPU": 2}, 3), ({"H100": 2}, 5), ({"CPU": 9}, 0)])
def test_gpus_taken_since_the_report_are_not_free(taken: dict[str, int], free: int) -> None:
    assert [gpus.free for gpus in capacity.free_gpus_of([report(pool(free=5), **taken)])] == [free]


def test_unusable_and_unknown_clusters_have_no_free_gpus() -> None:
    unheard = ClusterReport("new", None, {}, True)
    assert capacity.free_gpus_of([report(pool(), usable=False), unheard]) == []


def test_a_node_that_is_down_is_expected_back() -> None:
    now = capacity.remember_max_total([pool(total=4, free=4)], [pool(total=8)])
    assert now == (pool(total=4, free=4, max_total=8),)
    assert not can_never_run([report(*now)], "CPU", 8)
    assert can_never_run([report(*now)], "CPU", 9)


def test_a_job_can_never_run_only_if_every_cluster_is_known_to_lack_its_gpus() -> None:
    here, down = report(pool()), report(pool(H100, 2), name="down", usable=False)
    assert can_never_run([here, down], "A100-80GB", 1)
    assert not can_never_run([here, down], "H100", 2), "it may come back"
    assert not can_never_run([here, ClusterReport("new", None, {}, False)], "A100-80GB", 1)
    assert not can_never_run([here, report(GpuPool(None, None, None, None))], "A100-80GB", 8)
    assert not can_never_run([], "CPU", 1)


def test_a_report_says_what_a_job_can_have() -> None:
    said = capabilities("CPU", fetches_models=False, base_models=("tiny",), max_gpus={"CPU": 4}, inputs=True)
    known = replace(report(pool(total=8, free=3)), capabilities=said)
    [free] = capacity.free_gpus_of([known])
    assert free.can_hold(Needs("CPU", 4, "tiny", True))
    assert not free.can_hold(Needs("CPU", 5, "tiny", False))
    assert not free.can_hold(Needs("CPU", 1, "small", False))
    [gpus] = capacity.capacity_of(known).gpus or ()
    assert (gpus.types, gpus.free, gpus.max_total) == (["CPU"], 3, 4)


def test_a_cluster_that_does_not_say_it_takes_inputs_gets_none() -> None:
    [free] = capacity.free_gpus_of([report(pool())])
    assert free.can_hold(Needs("CPU", 1, "any model", False))
    assert not free.can_hold(Needs("CPU", 1, "tiny", True))
