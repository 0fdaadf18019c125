"""When a waiting job will start, and when nobody can tell."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from brightrun.contracts.scheduling import QueuePosition, WaitReason
from brightrun.scheduler.clusters.models import FreeGpus
from brightrun.scheduler.queue.models import RunningGpus, UserShare, WaitingJob
from brightrun.scheduler.queue.rules import forecast
from brightrun.scheduler.queue.rules.forecast import Snapshot
from tests.builders import NOON
from tests.unit.scheduler.simulation import cluster_gpus

ANNA, BEN = UUID(int=1), UUID(int=2)


def waiting(number: int, user=ANNA, gpus=1, seconds=600.0, gpu_type="CPU") -> WaitingJob:
    queued_at = NOON + timedelta(seconds=number)
    return WaitingJob(UUID(int=number), user, gpu_type, gpus, "", 1, queued_at, seconds)


def running(gpus=1, minutes: float | None = 10, user=BEN, cluster="local") -> RunningGpus:
    return RunningGpus(user, cluster, "CPU", gpus, None if minutes is None else later(minutes))


def later(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def position(number: int, ahead: int, start: datetime | None, waits_for: WaitReason) -> QueuePosition:
    return QueuePosition(position=number, ahead_gpus=ahead, expected_start=start, waits_for=waits_for)


def look(jobs, runs=(), free_gpus=None, ratio: float | None = 1.0) -> QueuePosition:
    shares = [UserShare(user, 1.0, None, 0, 0.0) for user in (ANNA, BEN)]
    free_gpus = [_free(cluster_gpus(gpus=2), runs)] if free_gpus is None else free_gpus
    ordered = forecast.order(jobs, shares)
    found = forecast.position_of(jobs[-1].job_id, ordered, Snapshot(shares, free_gpus, runs, NOON, ratio))
    assert found is not None
    return found


def test_a_job_that_fits_starts_now() -> None:
    assert look([waiting(10)]) == position(1, 0, NOON, "gpus")


def test_a_job_waits_for_as_many_runs_to_end_as_it_needs_gpus() -> None:
    runs = [running(minutes=5), running(minutes=20)]
    assert look([waiting(10)], runs).expected_start == later(5)
    assert look([waiting(10, gpus=2)], runs).expected_start == later(20)


def test_jobs_ahead_take_as_long_as_finished_ones_relative_to_their_estimates() -> None:
    jobs = [waiting(10, gpus=2), waiting(11, gpus=2), waiting(12)]
    found = look(jobs, [running(2, minutes=5)], ratio=0.5)
    assert found == position(3, 4, later(5 + 5 + 5), "gpus")


def test_the_order_is_the_fair_one() -> None:
    jobs = [waiting(10), waiting(11), waiting(12), waiting(13, BEN)]
    assert look(jobs).position == 2


@pytest.mark.parametrize(
    ("runs", "ratio"),
    [([running(2, minutes=None)], 1.0), ([running(2, minutes=5)], None)],
    ids=["a run", "a job ahead"],
)
def test_a_start_that_depends_on_something_unknown_is_unknown(runs, ratio: float | None) -> None:
    jobs = [waiting(10, gpus=2), waiting(11)]
    assert look(jobs, runs, ratio=ratio).expected_start is None


def test_gpus_used_by_others_have_no_known_end() -> None:
    free_gpus = [FreeGpus("local", frozenset(["CPU"]), 2, 1)]
    assert look([waiting(10)], free_gpus=free_gpus).expected_start == NOON
    assert look([waiting(10, gpus=2)], free_gpus=free_gpus).expected_start is None


def test_a_job_goes_to_the_cluster_that_is_free_first() -> None:
    runs = [running(2, minutes=30, cluster="a"), running(2, minutes=10, cluster="b")]
    free_gpus = [FreeGpus(name, frozenset(["CPU"]), 2, 0) for name in ("a", "b")]
    assert look([waiting(10)], runs, free_gpus).expected_start == later(10)


def test_a_cluster_that_does_not_count_its_gpus_starts_it_at_once() -> None:
    assert look([waiting(10, gpus=8)], free_gpus=[FreeGpus("any", None, None, 1 << 30)]).expected_start == NOON


def test_a_quota_holds_a_job_until_the_users_own_runs_end() -> None:
    runs = [running(minutes=7, user=ANNA)]
    shares = [UserShare(ANNA, 1.0, 1, 1, 0.0)]
    ordered = forecast.order([waiting(10)], shares)
    found = forecast.position_of(
        UUID(int=10), ordered, Snapshot(shares, [_free(cluster_gpus(gpus=8), runs)], runs, NOON, 1.0)
    )
    assert found == position(1, 0, later(7), "quota")


def test_a_job_that_no_usable_cluster_can_hold_waits_for_one() -> None:
    assert look([waiting(10, gpu_type="H100")]) == position(1, 0, None, "cluster")
    assert look([waiting(10, gpus=3)]) == position(1, 0, None, "cluster")


def test_a_job_that_does_not_wait_has_no_position() -> None:
    assert forecast.position_of(UUID(int=99), [waiting(10)], Snapshot([], [], [], NOON, None)) is None


def _free(gpus: FreeGpus, runs) -> FreeGpus:
    """The GPUs, less those that the runs hold."""
    return FreeGpus(gpus.cluster, gpus.types, gpus.total, (gpus.total or 0) - sum(run.gpus for run in runs))
