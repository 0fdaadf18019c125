"""Loads a downloaded adapter with plain PEFT and checks that it beats its base model on held-out examples.

`python -m brightrun_trainer.verify ADAPTER_DIR --base tiny [--data FILE]` prints one JSON object. It exits 0 only if
the adapter's loss is lower or, on pairs of answers, if its margin is larger for most of them.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from datasets.utils import disable_progress_bars
from peft import PeftModel

from brightrun.contracts.training import ChatTemplate
from brightrun_trainer.data.split import whole_file
from brightrun_trainer.data.tokens import Encoder, make_dataset
from brightrun_trainer.delivery.adapter import HELD_OUT_FILE, TEMPLATE_FILE
from brightrun_trainer.delivery.comparison import compare, sample
from brightrun_trainer.model.base_model import load_base
from brightrun_trainer.model.chat_templates import TEMPLATES
from brightrun_trainer.process.failures import TrainingFailure

HALF = 0.5


def main() -> None:
    """Print the comparison; exits 1 if the adapter is no better or cannot be checked."""
    parser = argparse.ArgumentParser(prog="brightrun_trainer.verify", description=__doc__)
    parser.add_argument("folder", metavar="ADAPTER_DIR", type=Path)
    parser.add_argument("--base", required=True, help="folder in BRIGHTRUN_MODELS, path, or name on the Hub")
    parser.add_argument("--data", type=Path, help="examples to test on; default: the adapter's held_out.jsonl")
    arguments = parser.parse_args()
    disable_progress_bars()
    try:
        result = verify(arguments.folder, arguments.base, arguments.data or arguments.folder / HELD_OUT_FILE)
    except TrainingFailure as failure:
        sys.exit(f"verify: {failure}")
    print(json.dumps(result))
    sys.exit(not result["better"])


def verify(folder: Path, base_name: str, data: Path) -> dict[str, Any]:
    """The comparison of base and adapter on `data`, and sample answers of both."""
    base = load_base(base_name, template=_template_named(folder))
    model = PeftModel.from_pretrained(base.model, str(folder))
    encoder = Encoder(base.tokenizer, base.chat_template, base.context)
    pairs = data.is_file() and _holds_pairs(data)
    source = whole_file(data, pairs)
    with tempfile.TemporaryDirectory() as cache:
        encoded = make_dataset(source, encoder, Path(cache), lambda _: None)
        result = compare(model, encoded.rows, base.tokenizer.pad_token_id, lambda: True)
    better = result["reward_accuracy"] > HALF if pairs else result["adapter_loss"] < result["base_loss"]
    return result | {"better": better, "samples": sample(model, base, source, lambda: True)}


def _template_named(folder: Path) -> ChatTemplate | None:
    """The template that the training's spec named, recognised by its text; None for the base model's own."""
    path = folder / TEMPLATE_FILE
    text = path.read_text() if path.is_file() else ""
    return next((name for name, template in TEMPLATES.items() if template.serving == text), None)


def _holds_pairs(data: Path) -> bool:
    """Whether the first line is a preference example."""
    with data.open("rb") as file:
        return b'"preferred_output"' in next((line for line in file if line.strip()), b"")


if __name__ == "__main__":
    main()
