"""Finds and loads the base model, and configures the LoRA adapter on it."""

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from trl.chat_template_utils import get_training_chat_template

from brightrun.contracts.training import ChatTemplate, TrainingSpec
from brightrun_trainer.model.chat_templates import use_template
from brightrun_trainer.model.stop_tokens import fit_tokenizer
from brightrun_trainer.process.failures import TrainingFailure, base_model_missing, known_cause


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A base model ready to be trained. `chat_template` marks the assistant's tokens; `context` is in tokens."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    chat_template: str
    revision: str
    context: int


def load_base(
    name: str, revision: str | None = None, *, template: ChatTemplate | None = None, nf4: bool = False
) -> LoadedModel:
    """Load a base model by the name of its folder in BRIGHTRUN_MODELS, its path, or its name on the Hugging Face Hub.

    It is loaded to the current GPU if there is one; `nf4` quantizes it to 4 bits. Raises TrainingFailure if it is not
    available, has no chat template to train with, or has a tokenizer that does not fit it.
    """
    tokenizer, model = load_files(name, revision, nf4=nf4)
    chat_template = use_template(tokenizer, template) if template else _marked_template(name, tokenizer)
    fit_tokenizer(name, tokenizer, model)
    path = _locate(name)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        chat_template=chat_template,
        revision=_weights_digest(Path(path)) if Path(path).is_dir() else str(model.config._commit_hash),
        context=context_of(model, tokenizer),
    )


def load_files(
    name: str, revision: str | None = None, *, nf4: bool = False
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Tokenizer and weights of a base model as they are. Raises TrainingFailure if it is not available."""
    path = _locate(name)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = _nf4() if nf4 else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        model: Any = AutoModelForCausalLM.from_pretrained(path, revision=revision, dtype=precision(), **options)
        model = model if nf4 else model.to(device)
    except Exception as error:
        if known_cause(error):
            raise
        raise _unloadable(name, Path(path), error) from error
    return tokenizer, model


def context_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The longest text that the model takes, in tokens."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", tokenizer.model_max_length))


def precision() -> torch.dtype:
    """The number type of the frozen weights: on GPUs bfloat16 where supported, else float16; on CPUs float32."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def lora_config(spec: TrainingSpec) -> LoraConfig:
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.rank,
        lora_alpha=spec.alpha or 2 * spec.rank,
        lora_dropout=spec.dropout,
        target_modules=spec.target_modules if isinstance(spec.target_modules, str) else list(spec.target_modules),
        use_rslora=spec.rslora,
        bias="none",
    )


def _nf4() -> dict[str, Any]:
    """Arguments to load in 4 bits on the current GPU, as in QLoRA (Dettmers et al. 2023). Raises TrainingFailure."""
    if not torch.cuda.is_available():
        raise TrainingFailure(
            "quantization_unsupported", "nf4 needs an NVIDIA GPU, and there is none here.", "Use quantization none."
        )
    if find_spec("bitsandbytes") is None:
        raise TrainingFailure(
            "quantization_unsupported",
            "nf4 needs the package bitsandbytes, which this cluster's trainer does not have.",
            "Use quantization none, or ask the operator to install trainer/requirements-cuda.txt.",
        )
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=precision()
    )
    return {"quantization_config": config, "device_map": {"": torch.cuda.current_device()}}


def _locate(name: str) -> str:
    folder = Path(os.environ.get("BRIGHTRUN_MODELS", "")) / name
    if "BRIGHTRUN_MODELS" in os.environ and (folder / "config.json").is_file():
        return str(folder)
    if name == "tiny":
        raise base_model_missing(name, "it is not in the folder that BRIGHTRUN_MODELS names")
    return name


def _unloadable(name: str, folder: Path, error: Exception) -> TrainingFailure:
    cause = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    if not folder.is_dir():
        return base_model_missing(name, f"it could not be loaded ({cause})")
    return TrainingFailure(
        "base_model_unreadable",
        f"The files of the base model {name} cannot be loaded: {cause}.",
        "Choose another base model, or ask the operator to download it again, in a format without quantization.",
    )


def _marked_template(name: str, tokenizer: PreTrainedTokenizerBase) -> str:
    try:
        template = get_training_chat_template(tokenizer) or tokenizer.chat_template
    except (ValueError, TypeError) as error:
        raise TrainingFailure(
            "chat_template_unsupported",
            f"The chat template of {name} does not mark what the assistant says.",
            "Set chat_template (plain works with every model), or choose an instruction-tuned model.",
        ) from error
    return str(template)


def _weights_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
