"""Who is next: nobody starves, no quota is exceeded, no GPU idles for nothing, and time is shared by weight."""

import random
from collections import Counter
from collections.abc import Callable
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from brightrun.scheduler.models import Waiting
from brightrun.scheduler.rules import fairness
from brightrun.scheduler.rules.fairness import OVERTAKES, URGENT
from tests.unit.scheduler.yard import Yard, room

ANNA, BEN, CLEO = (UUID(int=number) for number in (1, 2, 3))
KINDS = ["CPU", "H100"]

ROOMS = st.lists(
    st.builds(room, gpus=st.integers(1, 8), types=st.sampled_from([["CPU"], ["H100"], ["CPU", "H100"], None])),
    min_size=1,
    max_size=3,
).map(lambda rooms: [fairness.Room(f"c{number}", one.types, one.total, one.free) for number, one in enumerate(rooms)])
ORDERS = st.lists(
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


def play(yard: Yard, orders: list, check: Callable[[], None]) -> None:
    """Hand the orders in, now and then letting a job end in between; then let all jobs end."""
    for number, (user, gpus, kind, urgency, takes, error, home, pause) in enumerate(orders, 1):
        yard.submit(user, number, gpus=gpus, kind=kind, urgency=urgency, takes=takes, seconds=takes * error, home=home)
        yard.decide()
        check()
        if pause and yard.running:
            yard.wait_for_an_end()
    yard.decide()
    check()
    while yard.running:
        yard.wait_for_an_end()
        yard.decide()
        check()


@given(ROOMS, ORDERS, QUOTAS)
def test_no_quota_is_exceeded_and_no_gpu_is_given_twice(rooms, orders, quotas) -> None:
    yard = Yard(rooms, quotas=quotas)

    def check() -> None:
        assert all(yard.held_by(user) <= quota for user, quota in quotas.items())
        assert all(one.free >= 0 for one in yard.free_rooms())

    play(yard, orders, check)


@given(ROOMS, ORDERS, QUOTAS)
def test_every_job_that_could_run_has_run_in_the_end(rooms, orders, quotas) -> None:
    yard = Yard(rooms, quotas=quotas)
    play(yard, orders, lambda: None)
    for job in yard.waiting.values():
        too_large = job.gpus > quotas.get(job.user_id, job.gpus)
        assert too_large or not fairness.could_hold(rooms, job)


@given(ROOMS, ORDERS, QUOTAS)
def test_gpus_idle_only_for_a_job_that_was_overtaken_often(rooms, orders, quotas) -> None:
    yard = Yard(rooms, quotas=quotas)

    def check() -> None:
        patient = [job for job in yard.waiting.values() if job.overtaken < OVERTAKES]
        if len(patient) < len(yard.waiting):
            return
        for job in patient:
            within = yard.held_by(job.user_id) + job.gpus <= quotas.get(job.user_id, 10**6)
            fits = any(one.free >= job.gpus for one in fairness.could_hold(yard.free_rooms(), job))
            assert not (within and fits), f"{job} could run"

    play(yard, orders, check)


@given(ROOMS, ORDERS)
def test_jobs_run_where_their_gpus_are(rooms, orders) -> None:
    yard = Yard(rooms)

    def check() -> None:
        for _, _, job, cluster in yard.running:
            home = next(one for one in yard.rooms if one.cluster == cluster)
            assert home in fairness.could_hold(yard.rooms, job)

    play(yard, orders, check)


def test_a_large_job_is_overtaken_a_few_times_only_and_then_gpus_are_kept_for_it() -> None:
    yard = Yard([room(gpus=8)])
    for number in range(1, 9):
        yard.submit(ANNA, number, takes=100 + number)
    yard.decide()
    large = yard.submit(BEN, 1000, gpus=8, takes=100)
    number = 2000
    while large in yard.waiting:
        number += 1
        yard.submit((ANNA, CLEO)[number % 2], number, takes=100 + number % 7)
        yard.decide()
        assert number < 2100, "it starves"
        yard.wait_for_an_end()
    assert _started_before(yard, large, since=2000) == OVERTAKES


def test_a_job_that_waits_for_its_users_quota_is_overtaken_by_the_users_jobs_a_few_times_only() -> None:
    yard = Yard([room(gpus=8)], quotas={ANNA: 2})
    for number in (1, 2):
        yard.submit(ANNA, number, takes=100 + number)
    yard.decide()
    large = yard.submit(ANNA, 1000, gpus=2)
    for number in range(2000, 2000 + 3 * OVERTAKES):
        yard.submit(ANNA, number, takes=100 + number % 7)
        yard.decide()
        yard.wait_for_an_end()
    yard.decide()
    assert _started_before(yard, large, since=2000) == OVERTAKES


def test_a_kept_cluster_does_not_keep_others_from_another_one() -> None:
    yard = Yard([room("large", 8), room("small", 2)])
    yard.submit(ANNA, 1, gpus=6, takes=1000)
    yard.decide()
    yard.submit(BEN, 2, gpus=8, overtaken=OVERTAKES)
    small = [yard.submit(CLEO, number) for number in (3, 4, 5)]
    yard.decide()
    assert {cluster for _, _, job, cluster in yard.running if job.user_id == CLEO} == {"small"}
    assert small[-1] in yard.waiting, "two GPUs of the large cluster are kept free"


def test_who_asks_first_is_served_first_among_equals() -> None:
    yard = Yard([room(gpus=1)])
    users = [UUID(int=number) for number in (30, 10, 20)]
    for number, user in enumerate(users, 1):
        yard.now += 1
        yard.submit(user, number)
    assert _order_of(yard) == users


def test_users_take_turns_though_one_asks_for_much_more() -> None:
    yard = Yard([room(gpus=1)])
    for number in range(1, 9):
        yard.submit(ANNA, number)
    for number in (100, 101):
        yard.submit(BEN, number)
    assert _order_of(yard)[:4] == [ANNA, BEN, ANNA, BEN]


def test_who_was_away_has_nothing_to_catch_up_with() -> None:
    yard = Yard([room(gpus=1)])
    for number in range(1, 30):
        yard.submit(ANNA, number)
    for _ in range(20):
        yard.decide()
        yard.wait_for_an_end()
    for number in range(100, 110):
        yard.submit(BEN, number)
    assert _order_of(yard)[:6].count(ANNA) == 3


def test_a_users_urgent_and_high_jobs_come_first_and_only_urgent_ones_before_others() -> None:
    yard = Yard([room(gpus=1)])
    for number, urgency in ((1, 0), (2, 1), (3, 2)):
        yard.submit(ANNA, number, urgency=urgency)
    for number in (4, 5):
        yard.submit(BEN, number, urgency=2)
    yard.submit(CLEO, 6)
    yard.submit(CLEO, 7, urgency=URGENT)
    order = _jobs_in_order(yard)
    assert order[0] == 7
    assert [number for number in order if number in (1, 2, 3)] == [3, 2, 1]
    assert order.index(3) < order.index(5), "a high priority takes nothing from others"


def test_a_job_goes_home_while_home_can_be_used() -> None:
    yard = Yard([room("a", 4), room("b", 1)])
    yard.submit(ANNA, 1, home="a")
    yard.submit(ANNA, 2, home="gone")
    yard.decide()
    assert {job.job_id.int: cluster for _, _, job, cluster in yard.running} == {1: "a", 2: "b"}


def test_no_more_is_sent_to_a_cluster_than_it_may_be_sent_now() -> None:
    jobs = [Waiting(UUID(int=n), ANNA, "CPU", 1, "", 1, yard_start(), 1.0) for n in range(10)]
    share = Yard([room()]).share(ANNA)
    plan = fairness.plan(jobs, [share], [room("a"), room("b")], 0.0, slots={"a": 2, "b": 1}, visible=10)
    assert sorted(one.cluster for one in plan.placements) == ["a", "a", "b"]


def test_a_plan_ends_where_it_no_longer_sees_who_is_next() -> None:
    jobs = [Waiting(UUID(int=n), ANNA, "CPU", 1, "", URGENT, yard_start(), 1.0) for n in range(3)]
    jobs.append(Waiting(UUID(int=9), BEN, "CPU", 1, "", 1, yard_start(), 1.0))
    shares = [Yard([]).share(user) for user in (ANNA, BEN)]
    plan = fairness.plan(jobs, shares, [room(gpus=8)], 0.0, slots={"local": 8}, visible=3)
    assert {one.job.user_id for one in plan.placements} == {ANNA}, "a fourth of hers may come before his"


def test_fifty_users_with_random_loads_get_their_weights_share() -> None:
    """Everybody always has jobs waiting, of lengths and sizes that differ from user to user and are badly guessed."""
    dice = random.Random(1)  # noqa: S311
    users = [UUID(int=number) for number in range(1, 51)]
    yard = Yard([room("a", 40), room("b", 24)], weights={user: dice.choice([0.5, 1, 2, 3]) for user in users})
    lengths = {user: dice.uniform(300, 2000) for user in users}
    sizes = {user: dice.choice([[1], [1, 2], [2, 4], [1, 8]]) for user in users}
    numbers = iter(range(1, 10**6))

    def keep_asking() -> None:
        asked = Counter(job.user_id for job in yard.waiting.values())
        for user in users:
            for _ in range(3 - asked[user]):
                takes = lengths[user] * dice.uniform(0.5, 2)
                guess = takes * dice.uniform(0.3, 3)
                yard.submit(user, next(numbers), gpus=dice.choice(sizes[user]), takes=takes, seconds=guess)
        yard.decide()

    keep_asking()
    while yard.now < 100 * 3600:
        yard.wait_for_an_end()
        keep_asking()
    _are_by_weight(yard, users)


def test_what_some_do_not_want_is_shared_by_the_others() -> None:
    """Ten users want a twentieth of all together, and get it; the rest divides what is left."""
    dice = random.Random(3)  # noqa: S311
    modest, greedy = ([UUID(int=number) for number in range(first, first + 10)] for first in (1, 100))
    yard = Yard([room(gpus=20)], weights={user: dice.choice([1, 2]) for user in greedy})
    numbers = iter(range(1, 10**6))
    due = dict.fromkeys(modest, 0.0)
    while yard.now < 50 * 3600:
        asked = Counter(job.user_id for job in yard.waiting.values())
        for user in greedy:
            for _ in range(3 - asked[user]):
                yard.submit(user, next(numbers), takes=dice.uniform(500, 1500))
        for user in modest:
            if yard.now >= due[user]:
                yard.submit(user, next(numbers), takes=500)
                due[user] = yard.now + 5000
        yard.decide()
        yard.wait_for_an_end()
    assert all(yard.used[user] > 0.9 * 500 * yard.now / 5000 for user in modest)
    _are_by_weight(yard, greedy)


def _are_by_weight(yard: Yard, users: list[UUID]) -> None:
    """What the users have used is within 10 % of what their weights give them of it."""
    used = yard.used_by_now()
    weights, all_used = sum(yard.weight(user) for user in users), sum(used[user] for user in users)
    shares = [used[user] / all_used / (yard.weight(user) / weights) for user in users]
    assert min(shares) > 0.9
    assert max(shares) < 1.1


def yard_start():
    """When an empty yard's first job was queued."""
    yard = Yard([])
    return yard.waiting[yard.submit(ANNA, 1)].queued_at


def _started_before(yard: Yard, job_id: UUID, since: int) -> int:
    """How many of the jobs numbered from `since` on started before the job."""
    order = [job.job_id for job in yard.started]
    return sum(one.int >= since for one in order[: order.index(job_id)])


def _order_of(yard: Yard) -> list[UUID]:
    """The users in the order in which the waiting jobs start, with one GPU."""
    _jobs_in_order(yard)
    return [job.user_id for job in yard.started]


def _jobs_in_order(yard: Yard) -> list[int]:
    yard.started.clear()
    yard.decide()
    while yard.running:
        yard.wait_for_an_end()
        yard.decide()
    return [job.job_id.int for job in yard.started]
