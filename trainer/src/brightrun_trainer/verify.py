"""Loads a downloaded adapter with plain PEFT and checks that it beats its base model on held-out examples.

`python -m brightrun_trainer.verify ADAPTER_DIR --base tiny [--data FILE]` prints one JSON object and exits 0 only if
the adapter's loss is lower, or, where the examples are pairs of answers, if it leans more to the preferred ones.
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
from brightrun_trainer.adapter import TEMPLATE
from brightrun_trainer.comparison import compare, sample
from brightrun_trainer.data import Source, read
from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.model import load_base
from brightrun_trainer.templates import TEMPLATES
from brightrun_trainer.tokens import Encoder, make_dataset

HALF = 0.5


def main() -> None:
    """Print the comparison; exits 1 if the adapter is no better or cannot be checked."""
    parser = argparse.ArgumentParser(prog="brightrun_trainer.verify", description=__doc__)
    parser.add_argument("folder", metavar="ADAPTER_DIR", type=Path)
    parser.add_argument("--base", required=True, help="folder in BRIGHTRUN_MODELS, path, or name on the model hub")
    parser.add_argument("--data", type=Path, help="examples to test on; the adapter's held_out.jsonl by default")
    arguments = parser.parse_args()
    disable_progress_bars()
    try:
        result = verify(arguments.folder, arguments.base, arguments.data or arguments.folder / "held_out.jsonl")
    except TrainingFailure as failure:
        sys.exit(f"verify: {failure}")
    print(json.dumps(result))
    sys.exit(not result["better"])


def verify(folder: Path, base_name: str, data: Path) -> dict[str, Any]:
    """The comparison of base and adapter on `data`, and what each answers to some of it."""
    base = load_base(base_name, template=_template_named(folder))
    model = PeftModel.from_pretrained(base.model, str(folder))
    encoder = Encoder(base.tokenizer, base.chat_template, base.context)
    pairs = _holds_pairs(data)
    source = Source(data, None, sum(1 for _ in read(data, pairs)), pairs)
    with tempfile.TemporaryDirectory() as cache:
        rows = make_dataset(source, encoder, Path(cache), lambda _: None)
        result = compare(model, rows, base.tokenizer.pad_token_id, lambda: None)
    better = result["reward_accuracy"] > HALF if pairs else result["adapter_loss"] < result["base_loss"]
    return result | {"better": better, "samples": sample(model, base, source, lambda: True)}


def _template_named(folder: Path) -> ChatTemplate | None:
    """The template that the training's spec named, recognised by its text; None if it was the base model's own."""
    path = folder / TEMPLATE
    text = path.read_text() if path.is_file() else ""
    return next((name for name, template in TEMPLATES.items() if template.serving == text), None)


def _holds_pairs(data: Path) -> bool:
    """Whether the first line is a preference example."""
    try:
        with data.open("rb") as file:
            return b'"preferred_output"' in next((line for line in file if line.strip()), b"")
    except FileNotFoundError:
        return False  # reading it says so


if __name__ == "__main__":
    main()
