from pathlib import Path

import pytest

from tests.trainer.runs import Outcome, Trainer, run_folder


def test_a_stopped_training_saves_and_goes_on_to_the_same_end(
    trainer: Trainer, finished: Outcome, tmp_path: Path
) -> None:
    folder = run_folder(tmp_path / "run")
    running = trainer.start(folder)
    running.stop_after("points")
    stopped = running.outcome()

    assert stopped.exit_code == 0
    assert stopped.finished.outcome == "stopped"
    last = stopped.points[-1].step
    assert 1 <= last < 24
    assert stopped.checkpoints[-1].step == last
    assert (folder / stopped.checkpoints[-1].path / "adapter_model.safetensors").exists()
    assert "adapter_model.safetensors" in stopped.finished.files

    resumed = trainer.run(folder, "--resume")
    assert [point.step for point in resumed.points] == list(range(last + 1, 25))
    assert resumed.finished.outcome == "completed"
    assert resumed.finished.trained_tokens == finished.finished.trained_tokens
    assert resumed.points[-1].training_loss == pytest.approx(finished.points[-1].training_loss, rel=1e-2)


def test_a_run_that_is_stopped_while_it_loads_ends_at_once(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    running = trainer.start(folder)
    running.stop_after("stage")
    outcome = running.outcome()
    assert outcome.exit_code == 0
    assert outcome.finished.outcome == "stopped"
    assert outcome.finished.trained_tokens == 0
    assert not (folder / "checkpoints").exists()


def test_resuming_without_a_complete_checkpoint_starts_from_the_first_step(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", max_steps=2)
    torn = folder / "checkpoints" / "checkpoint-1"
    torn.mkdir(parents=True)
    (torn / "trainer_state.json").write_text('{"global_step": 1, "num_inp')
    outcome = trainer.run(folder, "--resume")
    assert [point.step for point in outcome.points] == [1, 2]
