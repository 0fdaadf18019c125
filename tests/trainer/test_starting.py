import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Outcome, Trainer, run_folder

pytestmark = pytest.mark.xdist_group("trainer_finished")

EARLIER = "0198f2c4-7d3a-7c52-9d55-0a1b2c3d4e5f"


def later_folder(path: Path, earlier: Path, **spec: Any) -> Path:
    folder = run_folder(path, init_from=EARLIER, max_steps=2, **spec)
    shutil.copytree(earlier / "adapter", folder / "init_adapter")
    return folder


def test_a_training_starts_from_an_earlier_adapter(
    trainer: Trainer, finished: Outcome, finished_folder: Path, tmp_path: Path
) -> None:
    outcome = trainer.run(later_folder(tmp_path / "run", finished_folder))
    reached = finished.points[-1].validation_loss
    assert reached is not None
    assert outcome.points[-1].validation_loss == pytest.approx(reached, abs=0.15)
    assert outcome.finished.outcome == "completed"


@pytest.mark.parametrize(
    ("spec", "message"),
    [({"rank": 8, "alpha": 32}, "its rank is 16"), ({"target_modules": ["q_proj"]}, "other modules")],
)
@pytest.mark.usefixtures("finished")
def test_an_adapter_of_another_shape_is_rejected(
    trainer: Trainer, finished_folder: Path, tmp_path: Path, spec: dict[str, Any], message: str
) -> None:
    error = trainer.run(later_folder(tmp_path / "run", finished_folder, **spec)).failure.error
    assert error.code == "init_adapter_unfit"
    assert message in error.message


def test_a_missing_adapter_is_reported(trainer: Trainer, tmp_path: Path) -> None:
    assert trainer.run(run_folder(tmp_path / "run", init_from=EARLIER)).failure.error.code == "init_adapter_missing"


def test_two_trainings_with_the_same_seed_are_equal(
    trainer: Trainer, finished: Outcome, finished_folder: Path, tmp_path: Path
) -> None:
    folder = run_folder(tmp_path / "run")
    again = trainer.run(folder)
    assert again.losses == finished.losses
    adapters = [path / "adapter" / "adapter_model.safetensors" for path in (folder, finished_folder)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_another_seed_changes_the_losses(trainer: Trainer, finished: Outcome, tmp_path: Path) -> None:
    other = trainer.run(run_folder(tmp_path / "run", seed=7, max_steps=2))
    assert other.losses != finished.losses[:2]


def test_a_run_of_two_processes_trains_one_adapter(fresh_trainer: Trainer, tmp_path: Path) -> None:
    """On this machine's CPU, through the same code and accelerate as on several GPUs."""
    folder = run_folder(tmp_path / "run", max_steps=6)
    outcome = fresh_trainer.run(folder, "--processes", "2")
    assert [point.step for point in outcome.points] == list(range(1, 7))
    assert outcome.points[-1].epoch == 1  # of 11 batches of 4 each process took 6
    assert outcome.finished.outcome == "completed"
    assert json.loads((folder / "checkpoints" / "checkpoint-6" / "trainer_state.json").read_text())["global_step"] == 6


def test_two_processes_stop_after_the_same_step(fresh_trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", max_steps=400)
    running = fresh_trainer.start(folder, "--processes", "2", "--patience", "60")
    running.stop_after("points")
    outcome = running.outcome()
    assert (outcome.exit_code, outcome.finished.outcome) == (0, "stopped")
    last = outcome.checkpoints[-1].step
    assert last == outcome.points[-1].step
    resumed = folder / "checkpoints" / f"checkpoint-{last}"
    assert {path.name for path in resumed.glob("rng_state_*")} == {"rng_state_0.pth", "rng_state_1.pth"}
