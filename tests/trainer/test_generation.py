"""Inference: base model and adapter answer side by side, token by token."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.generation import GENERATION_EVENT, Done, Failed, Finished, GenerationEvent, Loading, Token
from tests.trainer.runs import Outcome, Trainer

pytestmark = pytest.mark.xdist_group("trainer_finished")

QUESTION = {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 24}
SECONDS = 90
SEPARATE_AND_TOGETHER = """
import json, sys
from brightrun_trainer.delivery.inference import Sampling, complete, encode_prompt
from brightrun_trainer.model.base_model import load_base
from peft import PeftModel

base = load_base("tiny")
prompt = encode_prompt(base.tokenizer, json.loads(sys.argv[2]), 400)
base_ids = base.model.generate(input_ids=prompt, max_new_tokens=24, do_sample=False)[0, prompt.shape[1]:]
model = PeftModel.from_pretrained(base.model, sys.argv[1])
adapter_ids = model.generate(input_ids=prompt, max_new_tokens=24, do_sample=False)[0, prompt.shape[1]:]
completions = complete(model, base.tokenizer, prompt, ("base", "adapter"), Sampling(24))
decode = lambda ids: base.tokenizer.decode(ids, skip_special_tokens=True)
print(json.dumps([
    {"base": decode(base_ids), "adapter": decode(adapter_ids)},
    {side: completion.text for side, completion in completions.items()},
]))
"""


class Conversation:
    """A process of `brightrun_trainer.generate` and its requests."""

    def __init__(self, trainer: Trainer, folder: Path, *options: str, base: str = "tiny") -> None:
        (requests, stdin), (stdout, answers) = os.pipe(), os.pipe()
        command = ["-m", "brightrun_trainer.generate", str(folder), "--base", base, *options]
        with open(requests, "rb") as theirs, open(answers, "wb") as output, open(os.devnull, "wb") as log:
            self.process = trainer.launch(command, (theirs, output, log))
        self._stdin, self._stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")

    def ask(self, **changes: Any) -> list[GenerationEvent]:
        self._stdin.write(json.dumps(QUESTION | changes).encode() + b"\n")
        self._stdin.flush()
        events: list[GenerationEvent] = []
        while not events or events[-1].kind not in ("done", "failed"):
            events.append(GENERATION_EVENT.validate_json(self._stdout.readline()))
        return events

    def close(self) -> int:
        """End its input; returns the exit code."""
        self._stdin.close()
        with self._stdout:
            return self.process.wait(timeout=SECONDS)

    def texts(self, **changes: Any) -> dict[str, str]:
        texts: dict[str, str] = {}
        for event in self.ask(**changes):
            if isinstance(event, Token):
                texts[event.side] = texts.get(event.side, "") + event.text
        return texts


@pytest.fixture(scope="module")
def conversation(fresh_trainer: Trainer, finished: Outcome, finished_folder: Path) -> Iterator[Conversation]:
    assert finished.exit_code == 0
    conversation = Conversation(fresh_trainer, finished_folder / "adapter")
    events = conversation.ask()
    assert isinstance(events[0], Loading)
    yield conversation
    assert conversation.close() == 0


def test_both_sides_answer(conversation: Conversation) -> None:
    events = conversation.ask()
    assert {event.side for event in events if isinstance(event, Token)} == {"base", "adapter"}
    finished = [event for event in events if isinstance(event, Finished)]
    assert [event.side for event in finished] == ["base", "adapter"]
    assert all(1 <= event.tokens <= 24 for event in finished)
    assert isinstance(events[-1], Done)
    assert events[-1].prompt_tokens > 4


def test_answers_in_one_batch_equal_separate_answers(trainer: Trainer, finished_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "separate.py"
    script.write_text(SEPARATE_AND_TOGETHER)
    called = trainer.call(str(script), str(finished_folder / "adapter"), json.dumps(QUESTION["messages"]))
    assert called.returncode == 0, called.stderr
    separate, together = json.loads(called.stdout)
    assert together == separate
    assert together["base"] != together["adapter"]


def test_a_request_may_name_one_side(conversation: Conversation) -> None:
    assert conversation.texts(sides=["adapter"]) == {"adapter": conversation.texts()["adapter"]}


def test_a_seed_makes_sampling_repeatable(conversation: Conversation) -> None:
    first, second, other = (conversation.texts(temperature=1.5, seed=seed, max_tokens=16) for seed in (7, 7, 8))
    assert first == second != other


def test_an_answer_ends_at_its_limit(conversation: Conversation) -> None:
    events = conversation.ask(max_tokens=2, temperature=2.0, seed=1)
    finished = [event for event in events if isinstance(event, Finished)]
    assert [(event.tokens, event.reason) for event in finished] == [(2, "length")] * 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"messages": []}, "request_invalid"),
        ({"max_tokens": 0}, "request_invalid"),
        ({"temperature": 3}, "request_invalid"),
        ({"more": 1}, "request_invalid"),
        ({"messages": [{"role": "user", "content": "slip " * 5000}]}, "prompt_too_long"),
    ],
)
def test_an_invalid_request_fails_without_effect_on_the_next(
    conversation: Conversation, changes: dict[str, Any], code: str
) -> None:
    (failed,) = conversation.ask(**changes)
    assert isinstance(failed, Failed)
    assert failed.error.code == code
    assert conversation.texts()


def test_an_answer_ends_at_its_time_limit(trainer: Trainer, finished_folder: Path) -> None:
    conversation = Conversation(trainer, finished_folder / "adapter", "--seconds", "0.0001")
    finished = [event for event in conversation.ask(temperature=1.9, seed=1) if isinstance(event, Finished)]
    assert {event.reason for event in finished} <= {"time", "stop"}
    assert all(event.tokens <= 1 for event in finished)
    conversation.close()


def test_the_process_ends_without_requests(trainer: Trainer, finished_folder: Path, tmp_path: Path) -> None:
    conversation = Conversation(trainer, tmp_path, "--idle", "1")
    (loading, failed) = conversation.ask()
    assert isinstance(loading, Loading)
    assert isinstance(failed, Failed)
    assert failed.error.code == "adapter_missing"
    assert conversation.process.wait(timeout=SECONDS) == 0
    conversation.close()
