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
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer{quantization_import}, GenerationConfig

folder = "path/to/this/folder"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained({base_model}, {options})
model = PeftModel.from_pretrained(model, folder).eval()
model.generation_config = GenerationConfig.from_pretrained(folder)

messages = [{{"role": "user", "content": "Hello!"}}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
output = model.generate(**prompt.to(model.device), max_new_tokens=120, do_sample=False)
print(tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
```

`generation_config.json` has the tokens that end an answer: {ends}. Sample answers are generated as above: greedily,
with {dtype} weights and the chat template in this folder.
"""
QUANTIZED = """\
quantization_config=BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.{dtype}
)"""
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
        "\n".join(_notes(facts)),
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


def _notes(facts: Mapping[str, Any]) -> Iterator[str]:
    if notes := facts.get("notes"):
        yield "## Not learned as written\n"
        yield from (f"- {note}" for note in notes)


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
    lines = ["## Use", "", _load(spec, facts)]
    if serving.vllm:
        options = (
            *("--enable-lora", *serving.vllm_options, "--lora-modules adapter=path/to/this/folder"),
            "--generation-config path/to/this/folder",
            "--chat-template path/to/this/folder/chat_template.jinja",
            f"--dtype {facts['dtype']}",
        )
        lines += ["```sh", " \\\n  ".join((f"vllm serve {spec.base_model}", *options)), "```", ""]
    lines += [f"- {finding.message}" for finding in serving.findings]
    return "\n".join(lines)


def _load(spec: TrainingSpec, facts: Mapping[str, Any]) -> str:
    nf4, dtype = spec.quantization == "nf4", facts["dtype"]
    return LOAD.format(
        base_model=json.dumps(spec.base_model),
        options=QUANTIZED.format(dtype=dtype) if nf4 else f"dtype=torch.{dtype}",
        quantization_import=", BitsAndBytesConfig" if nf4 else "",
        ends=", ".join(f"`{token}`" for token in facts["stop_tokens"]),
        dtype=f"4-bit (nf4) {dtype}" if nf4 else dtype,
    )


def _table(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
