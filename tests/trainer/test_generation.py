"""Models that are tried: base and adapter answer side by side, token by token."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.generation import GENERATION_EVENT, Done, Failed, Finished, GenerationEvent, Loading, Token
from tests.trainer.runs import Outcome, Trainer

QUESTION = {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 24}
SECONDS = 90
BOTH_ALONE = """
import json, sys
from brightrun_trainer.generation import Sampling, encode_prompt, say
from brightrun_trainer.model import load_base
from peft import PeftModel

base = load_base("tiny")
prompt = encode_prompt(base.tokenizer, json.loads(sys.argv[2]), 400)
plain = base.model.generate(input_ids=prompt, max_new_tokens=24, do_sample=False)[0, prompt.shape[1]:]
model = PeftModel.from_pretrained(base.model, sys.argv[1])
alone = model.generate(input_ids=prompt, max_new_tokens=24, do_sample=False)[0, prompt.shape[1]:]
said = say(model, base.tokenizer, prompt, ("base", "adapter"), Sampling(24))
read = lambda ids: base.tokenizer.decode(ids, skip_special_tokens=True)
print(json.dumps([{"base": read(plain), "adapter": read(alone)}, {side: one.text for side, one in said.items()}]))
"""


class Conversation:
    """The process, spoken to."""

    def __init__(self, trainer: Trainer, folder: Path, *options: str) -> None:
        (requests, stdin), (stdout, answers) = os.pipe(), os.pipe()
        command = ["-m", "brightrun_trainer.generate", str(folder), "--base", "tiny", *options]
        with open(requests, "rb") as theirs, open(answers, "wb") as output, open(os.devnull, "wb") as log:
            self.process = trainer.launch(command, (theirs, output, log))
        self._stdin, self._stdout = open(stdin, "wb"), open(stdout, "rb")

    def ask(self, **changes: Any) -> list[GenerationEvent]:
        self._stdin.write(json.dumps(QUESTION | changes).encode() + b"\n")
        self._stdin.flush()
        heard: list[GenerationEvent] = []
        while not heard or heard[-1].kind not in ("done", "failed"):
            heard.append(GENERATION_EVENT.validate_json(self._stdout.readline()))
        return heard

    def close(self) -> int:
        """End its input; returns the exit code."""
        self._stdin.close()
        with self._stdout:
            return self.process.wait(timeout=SECONDS)

    def texts(self, **changes: Any) -> dict[str, str]:
        said: dict[str, str] = {}
        for one in self.ask(**changes):
            if isinstance(one, Token):
                said[one.side] = said.get(one.side, "") + one.text
        return said


@pytest.fixture(scope="module")
def conversation(fresh_trainer: Trainer, finished: Outcome, finished_folder: Path) -> Iterator[Conversation]:
    assert finished.exit_code == 0
    conversation = Conversation(fresh_trainer, finished_folder / "adapter")
    heard = conversation.ask()
    assert isinstance(heard[0], Loading)
    yield conversation
    assert conversation.close() == 0


def test_both_answer_while_they_stay_loaded(conversation: Conversation) -> None:
    heard = conversation.ask()
    assert {one.side for one in heard if isinstance(one, Token)} == {"base", "adapter"}
    finished = [one for one in heard if isinstance(one, Finished)]
    assert [one.side for one in finished] == ["base", "adapter"]
    assert all(1 <= one.tokens <= 24 for one in finished)
    assert isinstance(heard[-1], Done)
    assert heard[-1].prompt_tokens > 4


def test_they_say_what_each_would_say_alone(trainer: Trainer, finished_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(BOTH_ALONE)
    done = trainer.call(str(script), str(finished_folder / "adapter"), json.dumps(QUESTION["messages"]))
    assert done.returncode == 0, done.stderr
    alone, together = json.loads(done.stdout)
    assert together == alone
    assert together["base"] != together["adapter"]


def test_one_side_alone_may_be_asked(conversation: Conversation) -> None:
    assert conversation.texts(sides=["adapter"]) == {"adapter": conversation.texts()["adapter"]}


def test_a_seed_makes_chance_repeatable(conversation: Conversation) -> None:
    first, second, other = (conversation.texts(temperature=1.5, seed=seed, max_tokens=16) for seed in (7, 7, 8))
    assert first == second != other


def test_an_answer_ends_at_its_limit(conversation: Conversation) -> None:
    finished = [one for one in conversation.ask(max_tokens=2, temperature=2.0, seed=1) if isinstance(one, Finished)]
    assert [(one.tokens, one.reason) for one in finished] == [(2, "length")] * 2


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
def test_what_cannot_be_answered_is_said_and_harms_nothing(
    conversation: Conversation, changes: dict[str, Any], code: str
) -> None:
    (failed,) = conversation.ask(**changes)
    assert isinstance(failed, Failed)
    assert failed.error.code == code
    assert conversation.texts()


def test_an_answer_that_takes_too_long_ends_where_it_is(trainer: Trainer, finished_folder: Path) -> None:
    conversation = Conversation(trainer, finished_folder / "adapter", "--seconds", "0.0001")
    finished = [one for one in conversation.ask(temperature=1.9, seed=1) if isinstance(one, Finished)]
    assert {one.reason for one in finished} <= {"time", "stop"}
    assert all(one.tokens <= 1 for one in finished)
    conversation.close()


def test_it_ends_when_nobody_asks(trainer: Trainer, finished_folder: Path, tmp_path: Path) -> None:
    conversation = Conversation(trainer, tmp_path, "--idle", "1")
    (loading, failed) = conversation.ask()
    assert isinstance(loading, Loading)
    assert isinstance(failed, Failed)
    assert failed.error.code == "adapter_missing"
    assert conversation.process.wait(timeout=SECONDS) == 0
    conversation.close()
