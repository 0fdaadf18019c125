"""Who is next: nobody starves, no quota is exceeded, no GPU idles for nothing, and time is shared by weight."""

import random
from collections import Counter
from collections.abc import Callable
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from brightrun.scheduler.clusters.models import FreeGpus
from brightrun.scheduler.queue.models import WaitingJob
from brightrun.scheduler.queue.rules import fairness
from brightrun.scheduler.queue.rules.fairness import MAX_BYPASSES, URGENT
from tests.unit.scheduler.simulation import Simulation, cluster_gpus

ANNA, BEN, CLEO = (UUID(int=number) for number in (1, 2, 3))
KINDS = ["CPU", "H100"]

CLUSTERS = st.lists(
    st.builds(cluster_gpus, gpus=st.integers(1, 8), types=st.sampled_from([["CPU"], ["H100"], ["CPU", "H100"], None])),
    min_size=1,
    max_size=3,
).map(lambda clusters: [FreeGpus(f"c{number}", one.types, one.total, one.free) for number, one in enumerate(clusters)])
JOBS = st.lists(
    st.tuples(
        st.sampled_from([ANNA, BEN, CLEO]),
        st.integers(1, 8),
        st.sampled_from(KINDS),
        st.integers(0, URGENT),
        st.floats(1, 1000),
        st.sampled_from([0.3, 1.0, 3.0]),
        st.sampled_from(["", "c0", "gone"]),
        st.booleans(),
    ),
    max_size=40,
)
QUOTAS = st.dictionaries(st.sampled_from([ANNA, BEN, CLEO]), st.integers(0, 10))


def play(simulation: Simulation, jobs: list, check: Callable[[], None]) -> None:
    """Hand the jobs in, now and then letting a job end in between; then let all jobs end."""
    for number, (user, gpus, kind, priority, takes, error, home, pause) in enumerate(jobs, 1):
        simulation.submit(
            user,
            number,
            gpus=gpus,
            kind=kind,
            priority=priority,
            takes=takes,
            seconds=takes * error,
            preferred_cluster=home,
        )
        simulation.decide()
        check()
        if pause and simulation.running:
            simulation.wait_for_an_end()
    simulation.decide()
    check()
    while simulation.running:
        simulation.wait_for_an_end()
        simulation.decide()
        check()


@given(CLUSTERS, JOBS, QUOTAS)
def test_no_quota_is_exceeded_and_no_gpu_is_given_twice(clusters, jobs, quotas) -> None:
    simulation = Simulation(clusters, quotas=quotas)

    def check() -> None:
        assert all(simulation.held_by(user) <= quota for user, quota in quotas.items())
        assert all(one.free >= 0 for one in simulation.gpus_left())

    play(simulation, jobs, check)


@given(CLUSTERS, JOBS, QUOTAS)
def test_every_job_that_can_run_runs(clusters, jobs, quotas) -> None:
    simulation = Simulation(clusters, quotas=quotas)
    play(simulation, jobs, lambda: None)
    for job in simulation.waiting.values():
        too_large = job.gpus > quotas.get(job.user_id, job.gpus)
        assert too_large or not fairness.candidates(clusters, job)


@given(CLUSTERS, JOBS, QUOTAS)
def test_gpus_idle_only_for_a_job_that_was_bypassed_often(clusters, jobs, quotas) -> None:
    simulation = Simulation(clusters, quotas=quotas)

    def check() -> None:
        patient = [job for job in simulation.waiting.values() if job.times_bypassed < MAX_BYPASSES]
        if len(patient) < len(simulation.waiting):
            return
        for job in patient:
            within = simulation.held_by(job.user_id) + job.gpus <= quotas.get(job.user_id, 10**6)
            fits = any(one.free >= job.gpus for one in fairness.candidates(simulation.gpus_left(), job))
            assert not (within and fits), f"{job} could run"

    play(simulation, jobs, check)


@given(CLUSTERS, JOBS)
def test_jobs_run_where_their_gpus_are(clusters, jobs) -> None:
    simulation = Simulation(clusters)

    def check() -> None:
        for _, _, job, cluster in simulation.running:
            home = next(one for one in simulation.free_gpus if one.cluster == cluster)
            assert home in fairness.candidates(simulation.free_gpus, job)

    play(simulation, jobs, check)


def test_gpus_are_reserved_for_a_large_job_after_some_bypasses() -> None:
    simulation = Simulation([cluster_gpus(gpus=8)])
    for number in range(1, 9):
        simulation.submit(ANNA, number, takes=100 + number)
    simulation.decide()
    large = simulation.submit(BEN, 1000, gpus=8, takes=100)
    number = 2000
    while large in simulation.waiting:
        number += 1
        simulation.submit((ANNA, CLEO)[number % 2], number, takes=100 + number % 7)
        simulation.decide()
        assert number < 2100, "it starves"
        simulation.wait_for_an_end()
    assert _started_before(simulation, large, since=2000) == MAX_BYPASSES


def test_a_job_over_quota_is_bypassed_by_its_users_jobs_a_limited_number_of_times() -> None:
    simulation = Simulation([cluster_gpus(gpus=8)], quotas={ANNA: 2})
    for number in (1, 2):
        simulation.submit(ANNA, number, takes=100 + number)
    simulation.decide()
    large = simulation.submit(ANNA, 1000, gpus=2)
    for number in range(2000, 2000 + 3 * MAX_BYPASSES):
        simulation.submit(ANNA, number, takes=100 + number % 7)
        simulation.decide()
        simulation.wait_for_an_end()
    simulation.decide()
    assert _started_before(simulation, large, since=2000) == MAX_BYPASSES


def test_a_reserved_cluster_does_not_block_another_one() -> None:
    simulation = Simulation([cluster_gpus("large", 8), cluster_gpus("small", 2)])
    simulation.submit(ANNA, 1, gpus=6, takes=1000)
    simulation.decide()
    simulation.submit(BEN, 2, gpus=8, times_bypassed=MAX_BYPASSES)
    small = [simulation.submit(CLEO, number) for number in (3, 4, 5)]
    simulation.decide()
    assert {cluster for _, _, job, cluster in simulation.running if job.user_id == CLEO} == {"small"}
    assert small[-1] in simulation.waiting, "two GPUs of the large cluster are kept free"


def test_equal_users_are_served_in_order_of_submission() -> None:
    simulation = Simulation([cluster_gpus(gpus=1)])
    users = [UUID(int=number) for number in (30, 10, 20)]
    for number, user in enumerate(users, 1):
        simulation.now += 1
        simulation.submit(user, number)
    assert _order_of(simulation) == users


def test_users_take_turns_even_if_one_submits_many_jobs() -> None:
    simulation = Simulation([cluster_gpus(gpus=1)])
    for number in range(1, 9):
        simulation.submit(ANNA, number)
    for number in (100, 101):
        simulation.submit(BEN, number)
    assert _order_of(simulation)[:4] == [ANNA, BEN, ANNA, BEN]


def test_a_returning_user_does_not_catch_up() -> None:
    simulation = Simulation([cluster_gpus(gpus=1)])
    for number in range(1, 30):
        simulation.submit(ANNA, number)
    for _ in range(20):
        simulation.decide()
        simulation.wait_for_an_end()
    for number in range(100, 110):
        simulation.submit(BEN, number)
    assert _order_of(simulation)[:6].count(ANNA) == 3


def test_priorities_order_a_users_jobs_and_urgent_goes_before_other_users() -> None:
    simulation = Simulation([cluster_gpus(gpus=1)])
    for number, priority in ((1, 0), (2, 1), (3, 2)):
        simulation.submit(ANNA, number, priority=priority)
    for number in (4, 5):
        simulation.submit(BEN, number, priority=2)
    simulation.submit(CLEO, 6)
    simulation.submit(CLEO, 7, priority=URGENT)
    order = _jobs_in_order(simulation)
    assert order[0] == 7
    assert [number for number in order if number in (1, 2, 3)] == [3, 2, 1]
    assert order.index(3) < order.index(5), "a high priority takes nothing from others"


def test_a_job_goes_to_its_preferred_cluster_while_it_is_usable() -> None:
    simulation = Simulation([cluster_gpus("a", 4), cluster_gpus("b", 1)])
    simulation.submit(ANNA, 1, preferred_cluster="a")
    simulation.submit(ANNA, 2, preferred_cluster="gone")
    simulation.decide()
    assert {job.job_id.int: cluster for _, _, job, cluster in simulation.running} == {1: "a", 2: "b"}


def test_a_cluster_gets_no_more_jobs_than_its_slots() -> None:
    jobs = [WaitingJob(UUID(int=n), ANNA, "CPU", 1, "", 1, simulation_start(), 1.0) for n in range(10)]
    share = Simulation([cluster_gpus()]).share(ANNA)
    plan = fairness.Planner(jobs, [share], [cluster_gpus("a"), cluster_gpus("b")], 0.0, {"a": 2, "b": 1}, 10).plan()
    assert sorted(one.cluster for one in plan.placements) == ["a", "a", "b"]


def test_a_plan_ends_where_the_next_job_is_not_visible() -> None:
    jobs = [WaitingJob(UUID(int=n), ANNA, "CPU", 1, "", URGENT, simulation_start(), 1.0) for n in range(3)]
    jobs.append(WaitingJob(UUID(int=9), BEN, "CPU", 1, "", 1, simulation_start(), 1.0))
    shares = [Simulation([]).share(user) for user in (ANNA, BEN)]
    plan = fairness.Planner(jobs, shares, [cluster_gpus(gpus=8)], 0.0, {"local": 8}, 3).plan()
    assert {one.job.user_id for one in plan.placements} == {ANNA}, "a fourth of hers may come before his"


def test_fifty_users_with_random_loads_get_their_weights_share() -> None:
    """Everybody always has jobs waiting, of lengths and sizes that differ from user to user and are badly guessed."""
    dice = random.Random(1)  # noqa: S311
    users = [UUID(int=number) for number in range(1, 51)]
    simulation = Simulation(
        [cluster_gpus("a", 40), cluster_gpus("b", 24)], weights={user: dice.choice([0.5, 1, 2, 3]) for user in users}
    )
    lengths = {user: dice.uniform(300, 2000) for user in users}
    sizes = {user: dice.choice([[1], [1, 2], [2, 4], [1, 8]]) for user in users}
    numbers = iter(range(1, 10**6))

    def keep_asking() -> None:
        asked = Counter(job.user_id for job in simulation.waiting.values())
        for user in users:
            for _ in range(3 - asked[user]):
                takes = lengths[user] * dice.uniform(0.5, 2)
                guess = takes * dice.uniform(0.3, 3)
                simulation.submit(user, next(numbers), gpus=dice.choice(sizes[user]), takes=takes, seconds=guess)
        simulation.decide()

    keep_asking()
    while simulation.now < 100 * 3600:
        simulation.wait_for_an_end()
        keep_asking()
    _are_by_weight(simulation, users)


def test_unused_shares_are_divided_among_the_others() -> None:
    """Ten users want a twentieth of all together, and get it; the rest divides what is left."""
    dice = random.Random(3)  # noqa: S311
    modest, greedy = ([UUID(int=number) for number in range(first, first + 10)] for first in (1, 100))
    simulation = Simulation([cluster_gpus(gpus=20)], weights={user: dice.choice([1, 2]) for user in greedy})
    numbers = iter(range(1, 10**6))
    due = dict.fromkeys(modest, 0.0)
    while simulation.now < 50 * 3600:
        asked = Counter(job.user_id for job in simulation.waiting.values())
        for user in greedy:
            for _ in range(3 - asked[user]):
                simulation.submit(user, next(numbers), takes=dice.uniform(500, 1500))
        for user in modest:
            if simulation.now >= due[user]:
                simulation.submit(user, next(numbers), takes=500)
                due[user] = simulation.now + 5000
        simulation.decide()
        simulation.wait_for_an_end()
    assert all(simulation.used[user] > 0.9 * 500 * simulation.now / 5000 for user in modest)
    _are_by_weight(simulation, greedy)


def _are_by_weight(simulation: Simulation, users: list[UUID]) -> None:
    """What the users have used is within 10 % of what their weights give them of it."""
    used = simulation.used_by_now()
    weights, all_used = sum(simulation.weight(user) for user in users), sum(used[user] for user in users)
    shares = [used[user] / all_used / (simulation.weight(user) / weights) for user in users]
    assert min(shares) > 0.9
    assert max(shares) < 1.1


def simulation_start():
    """When an empty simulation's first job was queued."""
    simulation = Simulation([])
    return simulation.waiting[simulation.submit(ANNA, 1)].queued_at


def _started_before(simulation: Simulation, job_id: UUID, since: int) -> int:
    """How many of the jobs numbered from `since` on started before the job."""
    order = [job.job_id for job in simulation.started]
    return sum(one.int >= since for one in order[: order.index(job_id)])


def _order_of(simulation: Simulation) -> list[UUID]:
    """The users in the order in which the waiting jobs start, with one GPU."""
    _jobs_in_order(simulation)
    return [job.user_id for job in simulation.started]


def _jobs_in_order(simulation: Simulation) -> list[int]:
    simulation.started.clear()
    simulation.decide()
    while simulation.running:
        simulation.wait_for_an_end()
        simulation.decide()
    return [job.job_id.int for job in simulation.started]
