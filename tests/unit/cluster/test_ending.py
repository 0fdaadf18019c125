"""Which order a trainer gets next on its way out."""

from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster.ending import Ending


def test_a_trainer_nobody_wants_to_end_is_left_alone() -> None:
    assert Ending(10, 2).next(None, 1000) is None


def test_finish_then_stop_then_kill_each_after_its_grace() -> None:
    ending = Ending(finish_grace=10, stop_grace=2)
    orders = [(second, ending.next("finish", second)) for second in range(20)]
    assert [(second, order) for second, order in orders if order] == [(0, "finish"), (11, "stop"), (14, "kill")]


def test_a_stop_does_not_wait_for_the_finish() -> None:
    ending = Ending(finish_grace=10, stop_grace=2)
    assert ending.next("finish", 0) == "finish"
    assert [ending.next("stop", second) for second in (1, 2, 4)] == ["stop", None, "kill"]


def test_a_trainer_that_has_said_its_last_word_has_time_to_go() -> None:
    ending = Ending(finish_grace=10, stop_grace=2)
    assert [ending.next("exit", second) for second in (0, 2, 3)] == [None, None, "kill"]


@given(st.lists(st.tuples(st.sampled_from([None, "finish", "stop", "exit"]), st.integers(0, 9)), max_size=40))
def test_whatever_is_wished_no_order_comes_twice_or_after_a_harder_one(wishes: list) -> None:
    ending, now, given_orders = Ending(5, 3), 0, []
    for wish, passed in wishes:
        now += passed
        given_orders += [order] if (order := ending.next(wish, now)) else []
    ranks = [("finish", "stop", "kill").index(order) for order in given_orders]
    assert ranks == sorted(set(ranks))
