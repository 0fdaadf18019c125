"""Base models that differ from the tiny one in one thing each: a fault, or what is common elsewhere."""

import json
import shutil
from pathlib import Path
from typing import Any

REFUSING_TEMPLATE = """\
{%- for message in messages -%}
{%- if not loop.first and message.role == loop.previtem.role -%}
{{- raise_exception('roles must alternate') -}}
{%- endif -%}
{{- '<|' + message.role + '|>' -}}
{%- if message.role == 'assistant' -%}{%- generation -%}{{- message.content + '<|end|>' -}}{%- endgeneration -%}
{%- else -%}{{- message.content + '<|end|>' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def make_models(tiny: Path, folder: Path) -> Path:
    """The folder with these models: BRIGHTRUN_MODELS."""
    for name in ("tiny", "larger_tokenizer", "end_in_config", "endless", "quantized", "torn", "refusing", "two_ends"):
        shutil.copytree(tiny, folder / name)
    _edit(folder / "larger_tokenizer" / "tokenizer.json", _add_token)
    for name in ("end_in_config", "endless"):
        _edit(folder / name / "tokenizer_config.json", lambda config: _drop(config, "eos_token", "pad_token"))
    for file in ("config.json", "generation_config.json"):
        _edit(folder / "endless" / file, lambda config: _drop(config, "eos_token_id", "pad_token_id"))
    _edit(
        folder / "quantized" / "config.json",
        lambda config: config.update(quantization_config={"quant_method": "gptq", "bits": 4}),
    )
    weights = folder / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    (folder / "refusing" / "chat_template.jinja").write_text(REFUSING_TEMPLATE)
    _give_second_end(folder / "two_ends")
    return folder


def _give_second_end(model: Path) -> None:
    """A base model without a chat template, whose texts end with another token than turns of ChatML."""
    names = {"<|end|>": "<|endoftext|>", "<|system|>": "<|im_start|>", "<|user|>": "<|im_end|>"}
    for file in ("tokenizer.json", "tokenizer_config.json"):
        text = (model / file).read_text()
        for old, new in names.items():
            text = text.replace(json.dumps(old), json.dumps(new))
        (model / file).write_text(text)
    (model / "chat_template.jinja").unlink()


def _edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _add_token(tokenizer: dict[str, Any]) -> None:
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][1], "id": 2048, "content": "<|extra|>"})


def _drop(config: dict[str, Any], *names: str) -> None:
    for name in names:
        del config[name]
