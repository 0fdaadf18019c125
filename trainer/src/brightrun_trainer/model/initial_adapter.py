"""The adapter of an earlier training that a run starts from, in RUN_DIR/init_adapter."""

import json
from pathlib import Path

from peft import PeftModel
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.process.failures import TrainingFailure, known_cause

ADVICE = "Start from another model, or leave init_from out."


def load_into(model: PeftModel, folder: Path, spec: TrainingSpec) -> None:
    """Give the model's new adapter the earlier one's weights. Raises TrainingFailure if its shape differs."""
    try:
        config = json.loads((folder / CONFIG_NAME).read_text())
        weights = load_file(folder / SAFETENSORS_WEIGHTS_NAME)
        if not isinstance(config, dict):
            raise ValueError(f"{CONFIG_NAME} holds no object")
    except FileNotFoundError as error:
        raise TrainingFailure(
            "init_adapter_missing",
            f"The adapter to start from needs {CONFIG_NAME} and {SAFETENSORS_WEIGHTS_NAME}.",
            ADVICE,
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        if known_cause(error):
            raise
        message = f"The files of the adapter to start from are damaged: {error}."
        raise TrainingFailure("init_adapter_unreadable", message, ADVICE) from error
    if damaged := [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]:
        message = f"The adapter to start from has {len(damaged)} weights that are not finite, such as {damaged[0]}."
        raise TrainingFailure("init_adapter_unreadable", message, ADVICE)
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
