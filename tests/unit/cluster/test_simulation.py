import os

import pytest

from brightrun.cluster.executors.simulated import MAX_REPORTS_PER_SECOND_PER_CORE, Pace


@pytest.mark.parametrize("steps_per_second", [0.01, 1, 20, 5000])
@pytest.mark.parametrize("simulations", [1, 100, 10_000])
def test_simulations_keep_their_speed_however_many_there_are(steps_per_second: float, simulations: int) -> None:
    pace = Pace.of(steps_per_second, simulations)
    assert pace.steps >= 1
    assert pace.steps / pace.seconds == pytest.approx(steps_per_second)


def test_reports_are_bounded_for_one_simulation_and_for_all() -> None:
    assert Pace.of(5000, 1) == Pace(seconds=0.1, steps=500)
    crowd = 100_000
    assert crowd / Pace.of(5, crowd).seconds == pytest.approx(MAX_REPORTS_PER_SECOND_PER_CORE * os.cpu_count(), rel=0.1)
