"""Loads a downloaded adapter with plain PEFT and checks that it beats its base model on held-out examples.

`python -m brightrun_trainer.verify ADAPTER_DIR --base tiny [--data FILE]` prints one JSON object and exits 0 only if
the adapter's loss is lower.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets.utils import disable_progress_bars
from peft import PeftModel

from brightrun_trainer.data import Conversation, Source, read
from brightrun_trainer.evaluation import mean_loss
from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.model import Base, load_base
from brightrun_trainer.tokens import Encoder, make_dataset

ANSWER_TOKENS = 60


def main() -> None:
    """Print the comparison; exits 1 if the adapter is no better or cannot be checked."""
    parser = argparse.ArgumentParser(prog="brightrun_trainer.verify", description=__doc__)
    parser.add_argument("folder", metavar="ADAPTER_DIR", type=Path)
    parser.add_argument("--base", required=True, help="folder in BRIGHTRUN_MODELS, path, or name on the model hub")
    parser.add_argument("--data", type=Path, help="conversations to test on; the adapter's held_out.jsonl by default")
    arguments = parser.parse_args()
    disable_progress_bars()
    try:
        result = verify(arguments.folder, arguments.base, arguments.data or arguments.folder / "held_out.jsonl")
    except TrainingFailure as failure:
        sys.exit(f"verify: {failure}")
    print(json.dumps(result))
    sys.exit(result["adapter_loss"] >= result["base_loss"])


def verify(folder: Path, base_name: str, data: Path) -> dict[str, Any]:
    """Losses of base and adapter on `data`, and what each answers to its first conversation."""
    base = load_base(base_name)
    model = PeftModel.from_pretrained(base.model, str(folder))
    encoder = Encoder(base.tokenizer, base.chat_template, base.context)
    first = next(read(data))
    with tempfile.TemporaryDirectory() as cache:
        rows = make_dataset(Source(data), encoder, Path(cache), lambda _: None)
        pad = base.tokenizer.pad_token_id
        adapter_loss = mean_loss(model, rows, pad, lambda: None)
        sample = {"prompt": _prompt(first)[-1]["content"], "adapter": _answer(model, base, first)}
        with model.disable_adapter():
            base_loss = mean_loss(model, rows, pad, lambda: None)
            sample["base"] = _answer(model, base, first)
    return {"base_loss": base_loss, "adapter_loss": adapter_loss, "examples": len(rows), "sample": sample}


def _answer(model: PeftModel, base: Base, conversation: Conversation) -> str:
    """What the model says to the conversation's opening, greedily."""
    encoded: Any = base.tokenizer.apply_chat_template(
        _prompt(conversation), add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    inputs = encoded.to(model.device)
    with torch.no_grad():
        output = model.generate(**inputs, max_new_tokens=ANSWER_TOKENS, do_sample=False)
    return str(base.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def _prompt(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages before the assistant's first."""
    roles = [message["role"] for message in conversation.messages]
    return conversation.messages[: roles.index("assistant")]


if __name__ == "__main__":
    main()
