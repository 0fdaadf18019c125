"""Which signal a trainer is sent next on its way out."""

from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster.runs.shutdown import Shutdown


def test_without_a_request_there_is_no_signal() -> None:
    assert Shutdown(10, 2).next_signal(None, 1000) is None


def test_finish_then_stop_then_kill_each_after_its_grace() -> None:
    shutdown = Shutdown(finish_grace=10, stop_grace=2)
    signals = [(second, shutdown.next_signal("finish", second)) for second in range(20)]
    assert [(second, signal) for second, signal in signals if signal] == [(0, "finish"), (11, "stop"), (14, "kill")]


def test_a_stop_does_not_wait_for_the_finish() -> None:
    shutdown = Shutdown(finish_grace=10, stop_grace=2)
    assert shutdown.next_signal("finish", 0) == "finish"
    assert [shutdown.next_signal("stop", second) for second in (1, 2, 4)] == ["stop", None, "kill"]


def test_a_trainer_that_is_finished_has_the_stop_grace_to_exit() -> None:
    shutdown = Shutdown(finish_grace=10, stop_grace=2)
    assert [shutdown.next_signal("exit", second) for second in (0, 2, 3)] == [None, None, "kill"]


@given(st.lists(st.tuples(st.sampled_from([None, "finish", "stop", "exit"]), st.integers(0, 9)), max_size=40))
def test_no_signal_is_sent_twice_or_after_a_harder_one(requests: list) -> None:
    shutdown, now, signals = Shutdown(5, 3), 0, []
    for request, passed in requests:
        now += passed
        signals += [signal] if (signal := shutdown.next_signal(request, now)) else []
    ranks = [("finish", "stop", "kill").index(signal) for signal in signals]
    assert ranks == sorted(set(ranks))
