"""What a training delivers: an adapter that loads, facts for the manifest, a model card."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.serving import Serving
from tests.trainer.runs import Outcome, Trainer

pytestmark = pytest.mark.xdist_group("trainer_finished")

PLAIN_PEFT = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, base = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
messages = [{"role": "user", "content": "Hi"}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
output = model.generate(**prompt, max_new_tokens=4, do_sample=False)
print(output.shape[1] > prompt["input_ids"].shape[1], "brightrun_trainer" in sys.modules)
"""


@pytest.fixture(scope="session")
def metadata(finished: Outcome) -> dict[str, Any]:
    return finished.finished.metadata


def test_the_adapter_loads_in_a_fresh_process_with_peft_alone(
    fresh_trainer: Trainer, finished: Outcome, finished_folder: Path, tmp_path: Path
) -> None:
    script = tmp_path / "plain.py"
    script.write_text(PLAIN_PEFT)
    base = Path(fresh_trainer.environment["BRIGHTRUN_MODELS"]) / "tiny"
    called = fresh_trainer.call(str(script), str(finished_folder / "adapter"), str(base))
    assert called.returncode == 0, called.stderr
    assert called.stdout.split() == ["True", "False"]


def test_the_metadata_says_how_the_adapter_was_made(metadata: dict[str, Any], finished_folder: Path) -> None:
    template = (finished_folder / "adapter" / "chat_template.jinja").read_bytes()
    assert metadata["base_model"] == "tiny"
    assert len(metadata["revision"]) == 64
    assert metadata["chat_template"]["sha256"] == hashlib.sha256(template).hexdigest()
    assert metadata["spec"]["rank"] == 16
    assert {"python", "torch", "transformers", "peft", "trl", "brightrun-trainer"} <= metadata["versions"].keys()


def test_the_written_files_are_checked_for_serving(metadata: dict[str, Any]) -> None:
    serving = Serving.model_validate(metadata["serving"])
    assert (serving.peft, serving.vllm, serving.vllm_options) == (True, True, ())
    assert [finding.code for finding in serving.findings] == ["base_model_local"]


def test_base_and_adapter_are_compared_on_held_out_examples(metadata: dict[str, Any]) -> None:
    comparison = metadata["comparison"]
    assert comparison["adapter_loss"] < comparison["base_loss"]
    assert comparison["adapter_perplexity"] < comparison["base_perplexity"]
    assert 0 < comparison["adapter_token_accuracy"] < 1
    assert comparison["tokens"] > comparison["examples"] == 4


def test_base_and_adapter_answer_held_out_examples(metadata: dict[str, Any], finished_folder: Path) -> None:
    held_out = (finished_folder / "adapter" / "held_out.jsonl").read_text()
    assert len(metadata["samples"]) == 3
    for sample in metadata["samples"]:
        assert sample["messages"][-1]["role"] == "user"
        assert json.dumps(sample["expected"], ensure_ascii=False)[1:-1] in held_out
        assert {"base", "adapter"} <= sample.keys()
    assert any(sample["base"] != sample["adapter"] for sample in metadata["samples"])


def test_the_model_card_escapes_control_characters(fresh_trainer: Trainer) -> None:
    script = "from brightrun_trainer.delivery.model_card import escape_controls as e; print(ascii(e({!r})))"
    called = fresh_trainer.call("-c", script.format("a\tb\n\x1b[31m\u202e\x85ü"))
    assert called.returncode == 0, called.stderr
    assert called.stdout.strip() == ascii("a\tb\n\\x1b[31m\\u202e\\x85ü")


def test_the_model_card_has_the_evaluation_and_a_serving_command(
    metadata: dict[str, Any], finished_folder: Path
) -> None:
    card = (finished_folder / "adapter" / "README.md").read_text()
    assert card.startswith('---\nbase_model: "tiny"\n')
    assert f"{metadata['comparison']['adapter_loss']:.4f}" in card
    assert metadata["revision"] in card
    assert metadata["chat_template"]["sha256"] in card
    served = card.replace(" \\\n ", "")
    assert (
        "vllm serve tiny --enable-lora --lora-modules adapter=path/to/this/folder --generation-config path/to" in served
    )
    assert "--chat-template path/to/this/folder/chat_template.jinja --dtype float32" in served
    assert metadata["samples"][0]["expected"] in card
