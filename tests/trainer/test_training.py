import json
from pathlib import Path

import pytest

from tests.trainer.runs import Outcome, Trainer, run_folder

pytestmark = pytest.mark.xdist_group("trainer_finished")


def test_training_lowers_the_loss(finished: Outcome) -> None:
    losses = [point.training_loss for point in finished.points if point.training_loss is not None]
    assert sum(losses[-4:]) / 4 < sum(losses[:4]) / 4 - 0.2


def test_every_step_is_reported_once_with_its_metrics(finished: Outcome) -> None:
    assert [point.step for point in finished.points] == list(range(1, 25))
    assert finished.plan.total_steps == 24
    for point in finished.points:
        assert point.learning_rate is not None
        assert point.gradient_norm
        assert point.token_accuracy is not None
        assert point.tokens_per_second
        assert point.memory_mb


def test_held_out_examples_are_evaluated_during_training(finished: Outcome) -> None:
    measured = [point.validation_loss for point in finished.points if point.validation_loss is not None]
    assert len(measured) >= 5
    assert measured[-1] < measured[0]
    for point in finished.points:
        assert (point.validation_token_accuracy is None) == (point.validation_loss is None)
        assert point.validation_token_accuracy is None or 0 < point.validation_token_accuracy < 1


def test_only_the_newest_checkpoints_and_the_best_are_kept(finished: Outcome, finished_folder: Path) -> None:
    kept = {path.name for path in (finished_folder / "checkpoints").glob("checkpoint-*")}
    best = finished.finished.metadata["best_step"]
    assert kept == {f"checkpoint-{step}" for step in (best, *(report.step for report in finished.checkpoints[-2:]))}
    assert finished.checkpoints[-1].path == "checkpoints/checkpoint-24"


def test_a_finished_run_reports_what_it_delivers(finished: Outcome, finished_folder: Path) -> None:
    assert finished.exit_code == 0
    assert finished.finished.outcome == "completed"
    assert set(finished.finished.files) == {path.name for path in (finished_folder / "adapter").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "chat_template.jinja"} <= set(finished.finished.files)
    metadata = finished.finished.metadata
    assert metadata["comparison"]["adapter_loss"] < metadata["comparison"]["base_loss"]
    assert metadata["spec"]["alpha"] == 32
    assert str(finished_folder) not in json.dumps(metadata)


def test_held_out_examples_are_not_trained_on(finished: Outcome, finished_folder: Path) -> None:
    held_out = (finished_folder / "adapter" / "held_out.jsonl").read_text().splitlines()
    assert len(held_out) == finished.plan.validation_examples == 4
    assert finished.plan.examples == 48 - 4
    assert set(held_out) < set((finished_folder / "data.jsonl").read_text().splitlines())


def test_the_adapter_loads_in_plain_peft_and_beats_its_base(
    trainer: Trainer, finished: Outcome, finished_folder: Path
) -> None:
    verified = trainer.call("-m", "brightrun_trainer.verify", str(finished_folder / "adapter"), "--base", "tiny")
    assert verified.returncode == 0, verified.stderr
    result = json.loads(verified.stdout)
    assert result["adapter_loss"] < result["base_loss"]
    assert result["adapter_loss"] == pytest.approx(finished.finished.metadata["comparison"]["adapter_loss"], rel=1e-3)


def test_the_spec_decides_adapter_schedule_and_intervals(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(
        tmp_path / "run",
        max_steps=8,
        rank=4,
        alpha=12,
        rslora=True,
        target_modules=["q_proj", "v_proj"],
        scheduler="constant",
        packing=True,
        max_length=256,
        eval_steps=4,
        save_steps=3,
    )
    outcome = trainer.run(folder)
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (4, 12, True)
    assert set(config["target_modules"]) == {"q_proj", "v_proj"}
    saved = json.loads((folder / "checkpoints" / "checkpoint-8" / "adapter_config.json").read_text())
    assert "Could not find a config file" not in (folder / "log").read_text(), "it asks no hub for the base model"
    for written in (config, saved):
        assert written["base_model_name_or_path"] == "tiny", "not a path of the machine that trained"
    assert {point.learning_rate for point in outcome.points} == {1e-3}
    assert [point.step for point in outcome.points if point.validation_loss] == [4, 8]
    assert [report.step for report in outcome.checkpoints] == [3, 4, 6, 8]  # 4: the best evaluation so far


def test_early_stopping_ends_a_training_that_gets_worse_and_restores_the_best(trainer: Trainer, tmp_path: Path) -> None:
    """The validation data are the opposite of the training data."""
    folder = run_folder(
        tmp_path / "run",
        max_steps=60,
        eval_steps=2,
        save_steps=3,
        checkpoints_kept=1,
        scheduler="constant",
        early_stopping={"patience": 3},
    )
    opposite = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "#@!" * 40}]}
    (folder / "validation.jsonl").write_text(json.dumps(opposite))
    outcome = trainer.run(folder)
    losses = {point.step: point.validation_loss for point in outcome.points if point.validation_loss is not None}
    best = min(losses, key=lambda step: losses[step])
    last = outcome.points[-1].step
    assert outcome.finished.outcome == "completed"
    assert best < last < 60
    assert outcome.finished.metadata["best_step"] == best
    kept = {path.name for path in (folder / "checkpoints").glob("checkpoint-*")}
    assert kept == {f"checkpoint-{best}", f"checkpoint-{outcome.checkpoints[-1].step}"}
    files = [folder / place / "adapter_model.safetensors" for place in ("adapter", f"checkpoints/checkpoint-{best}")]
    assert files[0].read_bytes() == files[1].read_bytes()
