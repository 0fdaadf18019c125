"""What a run delivers: the adapter's folder and the facts about how it came to be."""

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import safe_open

from brightrun.contracts import serving
from brightrun.contracts.serving import Serving
from brightrun_trainer.card import write_card
from brightrun_trainer.preparation import Prepared

CONFIG, WEIGHTS, TEMPLATE = "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"
PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "safetensors", "brightrun-trainer")


def describe(prepared: Prepared, counts: Mapping[str, int], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The facts for the artifact's manifest.

    `counts` has at least `examples` and `steps`; `measured` may have a `comparison` and `samples`.
    """
    spec, base = prepared.task.spec, prepared.base
    return {
        "base_model": spec.base_model,
        "revision": base.revision,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "spec": spec.model_dump(mode="json", exclude_none=True),
        **counts,
        **{name: told for name, told in measured.items() if told},
    }


def save(model: PeftModel, prepared: Prepared, facts: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write adapter, tokenizer, chat template, model card and held-out examples into `folder`, afresh.

    Returns the facts with those that the files themselves tell: the chat template's digest, and what serves them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    spec, held_out = prepared.task.spec, prepared.task.held_out
    lora = model.peft_config["default"]
    # Where the model lies on this cluster means nothing to whoever downloads the adapter.
    lora.base_model_name_or_path, lora.revision = spec.base_model, spec.base_model_revision
    # DPO keeps what it started from as an adapter of its own.
    model.save_pretrained(str(folder), selected_adapters=["default"], save_embedding_layers=False)
    prepared.base.tokenizer.save_pretrained(str(folder))
    told = {
        **facts,
        "chat_template": _template(prepared, folder),
        "serving": inspect(folder, quantized=spec.quantization != "none").model_dump(mode="json"),
    }
    (folder / "README.md").write_text(write_card(spec, told))
    if held_out:
        with (folder / "held_out.jsonl").open("wb") as file:
            for conversation in held_out.conversations():
                file.write(conversation.line.rstrip(b"\r\n") + b"\n")
    return told


def inspect(folder: Path, quantized: bool = False) -> Serving:
    """Whether PEFT and vLLM would load the written files; only the weights' shapes are read."""
    config = json.loads((folder / CONFIG).read_text())
    with safe_open(folder / WEIGHTS, "pt") as weights:
        shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    return serving.inspect(config, shapes, quantized)


def _template(prepared: Prepared, folder: Path) -> dict[str, Any]:
    """The chat template that the adapter was trained with and is to be served with; `name`: the spec chose it."""
    digest = hashlib.sha256((folder / TEMPLATE).read_bytes()).hexdigest()
    return {"file": TEMPLATE, "sha256": digest, "name": prepared.task.spec.chat_template}
