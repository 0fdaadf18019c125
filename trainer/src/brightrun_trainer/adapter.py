"""What a run delivers: the adapter's folder and the facts about how it came to be."""

import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peft import PeftModel

from brightrun_trainer.preparation import Prepared

CARD = """\
---
base_model: {base_model}
library_name: peft
pipeline_tag: text-generation
tags: [lora, sft, trl, brightrun]
---

# LoRA adapter for {base_model}

Trained by BrightRun on {examples} conversations for {steps} steps; only what the assistant says was learned.

| | |
|---|---|
| base model | {base_model}, revision `{revision}` |
| rank / alpha / dropout | {rank} / {alpha} / {dropout} |
| learning rate | {learning_rate}, {scheduler} |
| held-out loss | {comparison} |

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModelForCausalLM.from_pretrained("{base_model}")
model = PeftModel.from_pretrained(model, "path/to/this/folder")
```

The loss says how well the adapter foretells conversations like those it was trained on. It says nothing of whether its
answers are true or safe: try it on your own questions before you rely on it.
"""


def describe(prepared: Prepared, counts: dict[str, int], comparison: dict[str, Any] | None) -> dict[str, Any]:
    """The facts for the artifact's manifest. `counts` has at least `examples` and `steps`."""
    spec, base = prepared.task.spec, prepared.base
    facts: dict[str, Any] = {
        "base_model": spec.base_model,
        "revision": base.revision,
        "chat_template_sha256": hashlib.sha256(base.chat_template.encode()).hexdigest(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl")},
        "spec": spec.model_dump(mode="json", exclude_none=True),
        **counts,
    }
    return facts | ({"comparison": comparison} if comparison else {})


def save(model: PeftModel, prepared: Prepared, facts: dict[str, Any], folder: Path) -> None:
    """Write adapter, tokenizer, chat template, model card and held-out examples into `folder`, afresh."""
    shutil.rmtree(folder, ignore_errors=True)
    spec, held_out = prepared.task.spec, prepared.task.held_out
    lora = model.peft_config["default"]
    # Where the model lies on this cluster means nothing to whoever downloads the adapter.
    lora.base_model_name_or_path, lora.revision = spec.base_model, spec.base_model_revision
    model.save_pretrained(str(folder), save_embedding_layers=False)
    prepared.base.tokenizer.save_pretrained(str(folder))
    (folder / "README.md").write_text(_card(prepared, facts))
    if held_out:
        with (folder / "held_out.jsonl").open("wb") as file:
            for conversation in held_out.conversations():
                file.write(conversation.line.rstrip(b"\r\n") + b"\n")


def _card(prepared: Prepared, facts: dict[str, Any]) -> str:
    measured = "not measured"
    if comparison := facts.get("comparison"):
        measured = "base model {base_loss:.4f}, adapter {adapter_loss:.4f}, on {examples} examples".format(**comparison)
    return CARD.format(**prepared.task.spec.model_dump() | facts | {"comparison": measured})
