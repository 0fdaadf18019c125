"""The adapter of an earlier training that a run starts from, in RUN_DIR/init_adapter."""

import json
from pathlib import Path

from peft import PeftModel
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.process.failures import TrainingFailure


def load_into(model: PeftModel, folder: Path, spec: TrainingSpec) -> None:
    """Give the model's new adapter the earlier one's weights. Raises TrainingFailure if its shape differs."""
    try:
        config = json.loads((folder / CONFIG_NAME).read_text())
        weights = load_file(folder / SAFETENSORS_WEIGHTS_NAME)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingFailure(
            "init_adapter_missing",
            f"The adapter to start from cannot be read: {folder.name} needs {CONFIG_NAME} and "
            f"{SAFETENSORS_WEIGHTS_NAME}.",
            "Start from another model, or leave init_from out.",
        ) from error
    settings = {"r": ("rank", spec.rank), "lora_alpha": ("alpha", spec.alpha), "use_rslora": ("rslora", spec.rslora)}
    reasons = [
        f"its {name} is {config.get(key)}" for key, (name, value) in settings.items() if config.get(key) != value
    ]
    new = get_peft_model_state_dict(model, save_embedding_layers=False)
    shapes, new_shapes = ({name: tensor.shape for name, tensor in tensors.items()} for tensors in (weights, new))
    if not reasons and shapes != new_shapes:
        reasons = ["it was trained on other modules or another base model"]
    if reasons:
        raise TrainingFailure(
            "init_adapter_unfit",
            f"The adapter to start from does not fit the spec: {', '.join(reasons)}.",
            "Give rank, alpha, rslora and target_modules of the earlier training, and its base model.",
        )
    set_peft_model_state_dict(model, weights)
