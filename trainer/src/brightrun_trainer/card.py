"""The model card: README.md beside the adapter, for whoever finds the folder without BrightRun."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from brightrun.contracts.serving import Serving
from brightrun.contracts.training import TrainingSpec

LEARNED = {
    "sft": "conversations, of which only what the assistant says was learned",
    "dpo": "pairs of answers, of which the preferred one was made likelier than the other",
}
LOAD = """\
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModelForCausalLM.from_pretrained({base_model})
model = PeftModel.from_pretrained(model, "path/to/this/folder")
```
"""
LIMITS = """\
## Limits

The loss says how well the adapter foretells conversations like those it was trained on. It says nothing of whether its
answers are true or safe: try it on your own questions before you rely on it.
"""
MEASURES = {
    "loss": ("mean loss (nats a token)", ".4f"),
    "perplexity": ("perplexity", ".2f"),
    "token_accuracy": ("next token guessed right", ".1%"),
    "preference_accuracy": ("preferred answer found likelier", ".1%"),
}


def write_card(spec: TrainingSpec, facts: Mapping[str, Any]) -> str:
    """The card as Markdown, made of what the manifest says."""
    sections = (
        _head(spec),
        _title(spec, facts),
        "\n".join(_measured(facts)),
        "\n".join(_heard(facts)),
        _table("Training", _training(spec, facts)),
        _use(spec, facts),
        _table("Made with", [(name, told) for name, told in facts["versions"].items()]),
        LIMITS,
    )
    return "\n".join(section.rstrip("\n") + "\n" for section in sections if section)


def _head(spec: TrainingSpec) -> str:
    """Hugging Face's front matter; JSON strings are YAML."""
    return f"""\
---
base_model: {json.dumps(spec.base_model)}
base_model_relation: adapter
library_name: peft
pipeline_tag: text-generation
tags: [lora, {spec.method}, trl, brightrun]
---
"""


def _title(spec: TrainingSpec, facts: Mapping[str, Any]) -> str:
    return (
        f"# LoRA adapter for {spec.base_model}\n\n"
        f"Trained by BrightRun for {facts['steps']:,} steps on {facts['examples']:,} {LEARNED[spec.method]}.\n"
    )


def _measured(facts: Mapping[str, Any]) -> Iterator[str]:
    """Base against adapter, figure by figure."""
    yield "## Measured\n"
    comparison = facts.get("comparison")
    if not comparison:
        yield "Nothing was measured: no example was held out, or the training was cut short.\n"
        return
    yield f"On {comparison['examples']:,} examples that were not trained on:\n"
    yield "| | base model | adapter |\n|---|---|---|"
    for name, (told, form) in MEASURES.items():
        figures = [comparison.get(f"{side}_{name}") for side in ("base", "adapter")]
        if any(figure is not None for figure in figures):
            yield f"| {told} | " + " | ".join("–" if one is None else format(one, form) for one in figures) + " |"


def _heard(facts: Mapping[str, Any]) -> Iterator[str]:
    """The sample answers, side by side."""
    samples = facts.get("samples") or []
    if samples:
        yield "## Heard\n"
        yield "Answers to examples that were not trained on, the likeliest token each time:\n"
    for sample in samples:
        for name, text in (
            ("Asked", sample["messages"][-1]["content"]),
            ("Expected", sample["expected"]),
            ("Base model", sample["base"]),
            ("Adapter", sample["adapter"]),
        ):
            yield f"{name}:\n\n{_fenced(text)}\n"


def _training(spec: TrainingSpec, facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "base model", f"{spec.base_model}, revision `{facts['revision']}`"
    yield "chat template", f"`{facts['chat_template']['file']}`, SHA-256 `{facts['chat_template']['sha256']}`"
    yield "method", spec.method if spec.beta is None else f"{spec.method}, beta {spec.beta}"
    rank = f"{spec.rank} / {spec.alpha} / {spec.dropout}"
    yield "rank / alpha / dropout", f"{rank}, rank-stabilized" if spec.rslora else rank
    yield "learning rate", f"{spec.learning_rate}, {spec.scheduler}"
    yield "batch", f"{spec.batch_size} × {spec.gradient_accumulation}"
    yield "longest example", f"{spec.max_length:,} tokens"
    yield "quantization of the base model", spec.quantization
    yield "seed", spec.seed


def _use(spec: TrainingSpec, facts: Mapping[str, Any]) -> str:
    serving = Serving.model_validate(facts["serving"])
    lines = ["## Use", "", LOAD.format(base_model=json.dumps(spec.base_model))]
    if serving.vllm:
        options = " ".join(("--enable-lora", *serving.vllm_options))
        lines += [f"```sh\nvllm serve {spec.base_model} {options} --lora-modules adapter=path/to/this/folder\n```", ""]
    lines += [f"- {finding.message}" for finding in serving.findings]
    return "\n".join(lines)


def _table(title: str, rows: Any) -> str:
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *(f"| {name} | {told} |" for name, told in rows)])


def _fenced(text: str) -> str:
    """A block that the text cannot end, however many backticks are in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
