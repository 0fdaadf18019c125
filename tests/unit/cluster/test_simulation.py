import os
from pathlib import Path

import pytest

from brightrun.cluster.executors.simulated import MAX_REPORTS_PER_SECOND_PER_CORE, Pace, SimulatedExecutor
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Run
from brightrun.cluster.runs import rules
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id
from tests.waiting import eventually


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


async def test_a_simulation_that_cannot_write_dies_and_the_others_go_on(tmp_path: Path) -> None:
    executor = SimulatedExecutor("CPU", 2, steps_per_second=100)
    runs = [prepared(tmp_path / name) for name in ("broken", "well")]
    broken, well = [await executor.start(run, folder, resume=False) for run, folder in runs]
    broken.folder.checkpoints.rmdir()
    broken.folder.checkpoints.touch()

    async def over() -> bool:
        return not await well.is_alive()

    await eventually(over)
    assert not await broken.is_alive()
    outcomes = [(await executor.read_reports(folder, 0))[0][-1].kind for _, folder in runs]
    assert outcomes == ["points", "finished"]


def prepared(path: Path) -> tuple[Run, RunFolder]:
    """A run of ten steps, and its folder."""
    spec, folder = TrainingSpec(max_steps=10, save_steps=5), RunFolder(path)
    request = SubmitRun(
        job_id=new_id(), dataset_url="http://data", gpu_config=GpuConfig(type="CPU"), hyperparameters=spec
    )
    folder.prepare(spec)
    folder.dataset.write_text("{}\n" * 8)
    return rules.submitted("run_1", request, (0,), simulated=True), folder
