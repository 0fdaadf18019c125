"""The model card: README.md beside the adapter, for readers without BrightRun."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from brightrun.contracts.serving import Serving
from brightrun.contracts.training import TrainingSpec

LEARNED = {
    "sft": "conversations; only what the assistant says was learned",
    "dpo": "pairs of answers; the preferred one was made likelier than the other",
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
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
LIMITS = """\
## Limits

The loss measures how well the adapter predicts conversations like those it was trained on. It does not measure whether
its answers are true or safe: try it on your own questions before you rely on it.
"""
MEASURES = {
    "loss": ("mean loss (nats a token)", ".4f"),
    "perplexity": ("perplexity", ".2f"),
    "token_accuracy": ("next-token accuracy", ".1%"),
    "preference_accuracy": ("preference accuracy", ".1%"),
}


def write_card(spec: TrainingSpec, facts: Mapping[str, Any]) -> str:
    sections = (
        _head(spec, facts),
        "\n".join(_evaluation(facts)),
        "\n".join(_samples(facts)),
        _table("Training", _training(spec, facts)),
        _use(spec, facts),
        _table("Versions", facts["versions"].items()),
        LIMITS,
    )
    return escape_controls("\n".join(section.rstrip("\n") + "\n" for section in sections if section))


def escape_controls(card: str) -> str:
    """Control characters and changes of the writing direction as escapes: a terminal or a page would obey them."""
    return CONTROLS.sub(lambda found: ascii(found[0])[1:-1], card)


def _head(spec: TrainingSpec, facts: Mapping[str, Any]) -> str:
    """The title after the Hub's front matter; JSON strings are YAML."""
    return f"""\
---
base_model: {json.dumps(spec.base_model)}
base_model_relation: adapter
library_name: peft
pipeline_tag: text-generation
tags: [lora, {spec.method}, trl, brightrun]
---

# LoRA adapter for {spec.base_model}

Trained by BrightRun for {facts["steps"]:,} steps on {facts["examples"]:,} {LEARNED[spec.method]}.
"""


def _evaluation(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "## Evaluation\n"
    comparison = facts.get("comparison")
    if not comparison:
        yield "None: no example was held out, or the training was stopped early.\n"
        return
    yield f"On {comparison['examples']:,} examples that were not trained on:\n"
    yield "| | base model | adapter |\n|---|---|---|"
    for name, (title, form) in MEASURES.items():
        figures = [comparison.get(f"{side}_{name}") for side in ("base", "adapter")]
        if any(figure is not None for figure in figures):
            cells = ("–" if figure is None else format(figure, form) for figure in figures)
            yield f"| {title} | {' | '.join(cells)} |"


def _samples(facts: Mapping[str, Any]) -> Iterator[str]:
    samples = facts.get("samples") or []
    if samples:
        yield "## Sample answers\n"
        yield "Answers to examples that were not trained on, generated greedily:\n"
    for sample in samples:
        for name, text in (
            ("Prompt", sample["messages"][-1]["content"]),
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


def _table(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
