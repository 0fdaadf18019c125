import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Trainer, run_folder

pytestmark = pytest.mark.xdist_group("trainer")

GOOD_LINE = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]})


def failure(trainer: Trainer, folder: Path) -> Any:
    outcome = trainer.run(folder)
    assert outcome.exit_code == 1
    assert outcome.failure.error.advice
    return outcome.failure.error


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"quantization": "nf4"}, "quantization_unsupported"),
        ({"chat_template": "llama3"}, "chat_template_unfit"),
        ({"method": "dpo", "packing": True}, "spec_invalid"),
        ({"target_modules": ["lm_head"]}, "target_modules_unsupported"),
        ({"rank": 1}, "spec_invalid"),
    ],
)
def test_unsupported_specs_are_rejected(trainer: Trainer, tmp_path: Path, spec: dict[str, Any], code: str) -> None:
    assert failure(trainer, run_folder(tmp_path / "run", **spec)).code == code


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not JSON", "line 2: $: not JSON"),
        ("[1]", "line 2: $: an example must be a JSON object"),
        ('{"messages": [{"role": "robot", "content": "Beep"}]}', 'line 2: $.messages[0].role: "robot" is not one of'),
        (
            '{"messages": [{"role": "assistant", "content": "Hi", "weight": 2}]}',
            "line 2: $.messages[0].weight:",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
            "line 2: $.messages[0].content[0]:",
        ),
    ],
)
def test_unreadable_data_is_reported_with_its_line(trainer: Trainer, tmp_path: Path, line: str, message: str) -> None:
    error = failure(trainer, run_folder(tmp_path / "run", data=f"{GOOD_LINE}\n{line}\n"))
    assert error.code == "data_unreadable"
    assert message in error.message


def test_an_empty_data_set_is_rejected(fresh_trainer: Trainer, tmp_path: Path) -> None:
    assert failure(fresh_trainer, run_folder(tmp_path / "run", data="\n")).code == "data_empty"


def test_early_stopping_needs_held_out_examples(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", examples=5, early_stopping={"patience": 1})
    assert failure(trainer, folder).code == "validation_missing"


@pytest.mark.parametrize("base_model", ["/nowhere", "../tiny", "{models}/tiny", "https://host/nowhere"])
def test_a_base_model_outside_the_models_folder_is_rejected(trainer: Trainer, tmp_path: Path, base_model: str) -> None:
    name = base_model.format(models=trainer.environment["BRIGHTRUN_MODELS"])
    error = failure(trainer, run_folder(tmp_path / "run", base_model=name))
    assert error.code == "base_model_missing"
    assert name in error.message
    assert "a path is not accepted" in error.message


def test_a_missing_base_model_is_named(fresh_trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fresh_trainer.environment, "HF_HUB_OFFLINE", "1")
    error = failure(fresh_trainer, run_folder(tmp_path / "run", base_model="nobody/nowhere"))
    assert error.code == "base_model_missing"
    assert "nowhere" in error.message


def test_a_loss_that_is_not_finite_ends_the_training(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(Path(trainer.environment["BRIGHTRUN_MODELS"]) / "tiny", broken)
    with (broken / "model.safetensors").open("r+b") as weights:
        weights.seek(-512, 2)
        weights.write(b"\xff" * 512)
    monkeypatch.setitem(trainer.environment, "BRIGHTRUN_MODELS", str(tmp_path))
    assert failure(trainer, run_folder(tmp_path / "run", base_model="broken")).code == "loss_not_finite"
