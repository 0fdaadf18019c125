import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Outcome, Trainer, run_folder

pytestmark = pytest.mark.xdist_group("trainer_finished")


def test_a_stopped_training_resumes_to_the_same_end(trainer: Trainer, finished: Outcome, tmp_path: Path) -> None:
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
    assert resumed.losses == pytest.approx(finished.losses[last:], rel=1e-5)


def test_a_stop_does_not_wait_for_a_long_step(trainer: Trainer, tmp_path: Path) -> None:
    """It saves the last whole step, and the resumed training has the same curve as an uninterrupted one."""
    # A step is an epoch, of 18 examples.
    long_steps: dict[str, Any] = {"examples": 20, "batch_size": 1, "gradient_accumulation": 18, "max_steps": 3}
    whole = trainer.run(run_folder(tmp_path / "whole", **long_steps))
    folder = run_folder(tmp_path / "run", **long_steps)
    running = trainer.start(folder, "--patience", "0")
    running.stop_after("points")
    stopped = running.outcome()
    assert (stopped.exit_code, stopped.finished.outcome) == (0, "stopped")
    last = stopped.points[-1].step
    assert last < 3
    assert stopped.checkpoints[-1].step == last
    assert stopped.finished.trained_tokens == pytest.approx(whole.finished.trained_tokens * last / 3, rel=0.01)
    assert "adapter_model.safetensors" in stopped.finished.files

    resumed = trainer.run(folder, "--resume")
    assert resumed.losses == pytest.approx(whole.losses[last:], rel=1e-5)
    assert resumed.finished.trained_tokens == whole.finished.trained_tokens


def test_a_stop_during_loading_ends_the_run_at_once(fresh_trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    running = fresh_trainer.start(folder)
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


def test_a_finish_request_delivers_the_adapter_so_far(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", max_steps=400)
    running = trainer.start(folder, "--launch", "1")
    running.reaches("points")
    (folder / "order").write_text("1 finish")
    outcome = running.outcome()
    assert (outcome.exit_code, outcome.finished.outcome) == (0, "completed")
    metadata = outcome.finished.metadata
    assert metadata["stopped_early"] is True
    assert 1 <= metadata["steps"] == outcome.points[-1].step == outcome.checkpoints[-1].step < 400
    assert metadata["comparison"]["examples"] == outcome.plan.validation_examples
    assert "adapter_model.safetensors" in outcome.finished.files


def test_a_finish_request_before_the_start_takes_effect_after_the_first_step(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", max_steps=400)
    (folder / "order").write_text("1 finish")
    outcome = trainer.run(folder, "--launch", "1")
    assert [point.step for point in outcome.points] == [1]
    assert outcome.finished.outcome == "completed"


def test_a_resumed_run_with_a_finish_request_delivers_its_checkpoint(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", max_steps=400)
    running = trainer.start(folder)
    running.stop_after("points")
    stopped = running.outcome()
    assert stopped.checkpoints[-1].seconds is not None
    assert 0 < stopped.checkpoints[-1].seconds < 30
    (folder / "order").write_text("2 finish")
    finished = trainer.run(folder, "--resume", "--launch", "2")
    assert finished.points == []
    assert finished.finished.outcome == "completed"
    assert finished.finished.metadata["steps"] == stopped.points[-1].step
    adapter, saved = (
        folder / place / "adapter_model.safetensors" for place in ("adapter", stopped.checkpoints[-1].path)
    )
    assert adapter.read_bytes() == saved.read_bytes()


def test_a_stop_request_in_the_file_works_like_a_signal(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", max_steps=400)
    running = trainer.start(folder)
    running.reaches("points")
    (folder / "order").write_text("1 checkpoint")
    outcome = running.outcome()
    assert outcome.finished.outcome == "stopped"
    assert outcome.checkpoints[-1].step == outcome.points[-1].step


def test_a_trainer_ends_when_a_later_one_is_launched(trainer: Trainer, finished: Outcome, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    first = trainer.start(folder, "--launch", "1")
    first.reaches("points")
    (folder / "order").write_text("2 ")
    second = trainer.start(folder, "--resume", "--launch", "2").outcome()
    first_outcome = first.outcome()
    assert first_outcome.exit_code == 0
    assert "finished" not in {report.kind for report in first_outcome.reports}
    assert second.finished.outcome == "completed"
    assert second.points[-1].step == finished.points[-1].step


def test_a_run_resumes_from_the_checkpoints_of_another_folder(
    trainer: Trainer, finished: Outcome, tmp_path: Path
) -> None:
    earlier = run_folder(tmp_path / "earlier")
    running = trainer.start(earlier)
    running.stop_after("points")
    last = running.outcome().points[-1].step
    later = run_folder(tmp_path / "later")
    shutil.copytree(earlier / "checkpoints", later / "checkpoints", copy_function=os.link)
    shutil.rmtree(earlier)
    resumed = trainer.run(later, "--resume")
    assert [point.step for point in resumed.points] == list(range(last + 1, 25))
    assert resumed.finished.trained_tokens == finished.finished.trained_tokens
    assert resumed.losses == pytest.approx(finished.losses[last:], rel=1e-5)
