"""The delivered folder: the adapter's files and the facts for its manifest."""

import copy
import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peft import PeftModel
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import safe_open
from transformers import GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME

from brightrun.contracts import serving
from brightrun.contracts.serving import Serving
from brightrun_trainer.data.preparation import Prepared
from brightrun_trainer.delivery.model_card import write_card
from brightrun_trainer.model.base_model import LoadedModel, precision
from brightrun_trainer.model.stop_tokens import stop_tokens

TEMPLATE_FILE, HELD_OUT_FILE = "chat_template.jinja", "held_out.jsonl"
PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "safetensors", "brightrun-trainer")


def describe(prepared: Prepared, counts: Mapping[str, int], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The facts for the artifact's manifest.

    `counts` has at least `examples` and `steps`; `evaluation` may have a `comparison` and `samples`.
    """
    spec = prepared.task.spec
    return {
        "base_model": spec.base_model,
        "revision": prepared.base.revision,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "spec": spec.model_dump(mode="json", exclude_none=True),
        **counts,
        **{name: result for name, result in evaluation.items() if result},
    }


def save(model: PeftModel, prepared: Prepared, facts: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Replace `folder` by one with adapter, tokenizer, chat template, generation config, model card and held-out
    examples.

    Returns the facts with those that depend on the written files: the chat template's digest, and what serves them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    spec, held_out = prepared.task.spec, prepared.task.held_out
    # DPO keeps its reference as a second adapter.
    model.save_pretrained(str(folder), selected_adapters=["default"], save_embedding_layers=False)
    prepared.base.tokenizer.save_pretrained(str(folder))
    ends = _save_generation_config(prepared.base, folder)
    digest = hashlib.sha256((folder / TEMPLATE_FILE).read_bytes()).hexdigest()
    all_facts = {
        **facts,
        "chat_template": {"file": TEMPLATE_FILE, "sha256": digest, "name": spec.chat_template},
        "stop_tokens": ends,
        "dtype": str(precision()).removeprefix("torch."),
        "serving": _check_serving(folder, spec.quantization != "none").model_dump(mode="json"),
    }
    (folder / "README.md").write_text(write_card(spec, all_facts))
    if held_out:
        with (folder / HELD_OUT_FILE).open("wb") as file:
            file.writelines(example.line.rstrip(b"\r\n") + b"\n" for example in held_out.examples())
    return all_facts


def _save_generation_config(base: LoadedModel, folder: Path) -> list[str]:
    """The base model's, with every token that ends an answer: its own end and the chat template's. Returns these.

    It is written without validation: the configurations of some base models contradict themselves.
    """
    ends = sorted(stop_tokens(base.tokenizer, base.model))
    config = copy.deepcopy(base.model.generation_config) or GenerationConfig()
    config.eos_token_id, config.pad_token_id = ends, base.tokenizer.pad_token_id
    config._from_model_config = False  # else Transformers would make it anew from the base model's
    (folder / GENERATION_CONFIG_NAME).write_text(config.to_json_string())
    return [str(base.tokenizer.convert_ids_to_tokens(end)) for end in ends]


def _check_serving(folder: Path, quantized: bool) -> Serving:
    """Whether PEFT and vLLM would load the written files; reads only the weights' shapes."""
    config = json.loads((folder / CONFIG_NAME).read_text())
    with safe_open(folder / SAFETENSORS_WEIGHTS_NAME, "pt") as weights:
        shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    return serving.inspect(config, shapes, quantized)
