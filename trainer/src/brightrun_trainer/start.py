"""The adapter of an earlier training that a run starts from, in RUN_DIR/init_adapter."""

import json
from pathlib import Path
from typing import Any

from peft import PeftModel
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.failures import TrainingFailure

FOLDER = "init_adapter"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def load_into(model: PeftModel, folder: Path, spec: TrainingSpec) -> None:
    """Give the model's new adapter the earlier one's weights. Raises TrainingFailure if it has another shape."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingFailure(
            "init_adapter_missing",
            f"The adapter to start from cannot be read: {folder.name} needs {CONFIG} and {WEIGHTS}.",
            "Start from another model, or leave init_from out.",
        ) from error
    if differences := _differences(config, spec):
        raise _unfit(", ".join(differences))
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    if {name: tuple(tensor.shape) for name, tensor in expected.items()} != {
        name: tuple(tensor.shape) for name, tensor in weights.items()
    }:
        raise _unfit("it was trained on other modules or another base model")
    set_peft_model_state_dict(model, weights)


def _differences(config: dict[str, Any], spec: TrainingSpec) -> list[str]:
    """What the earlier adapter has otherwise than the spec asks, each with the earlier value."""
    asked = {"r": ("rank", spec.rank), "lora_alpha": ("alpha", spec.alpha), "use_rslora": ("rslora", spec.rslora)}
    return [f"its {name} is {config.get(key)}" for key, (name, value) in asked.items() if config.get(key) != value]


def _unfit(reason: str) -> TrainingFailure:
    return TrainingFailure(
        "init_adapter_unfit",
        f"The adapter to start from does not fit the spec: {reason}.",
        "Give rank, alpha, rslora and target_modules of the earlier training, and its base model.",
    )
