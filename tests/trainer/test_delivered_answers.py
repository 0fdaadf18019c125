"""An adapter is delivered as it was judged: its README's lines give the answers that the platform has shown."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import GOOD, Trainer, preferences, run_folder
from tests.trainer.test_generation import Conversation

pytestmark = pytest.mark.xdist_group("trainer")

ANSWER_EACH = """
import contextlib, io, json, sys

lines, conversations = json.load(open(sys.argv[1]))
answers = []
for messages in conversations:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(lines.replace('[{"role": "user", "content": "Hello!"}]', repr(messages)), {})
    answers.append(printed.getvalue()[:-1])
print(json.dumps([answers, "brightrun_trainer" in sys.modules]))
"""


def same_answer() -> str:
    """Conversations that all have the same short answer, which is learned in seconds, its end included."""
    prompts = [json.loads(line)["input"]["messages"] for line in preferences(48).splitlines()]
    return "\n".join(json.dumps({"messages": [*prompt, {"role": "assistant", "content": GOOD}]}) for prompt in prompts)


def answers_of_readme(trainer: Trainer, adapter: Path, base: str, conversations: list[Any], tmp_path: Path) -> Any:
    """What the README's lines print for each conversation, in a process that imports nothing else."""
    (lines,) = re.findall("```python\n(.*?)```", (adapter / "README.md").read_text(), re.DOTALL)
    for placeholder, path in (
        ("path/to/this/folder", adapter),
        (base, Path(trainer.environment["BRIGHTRUN_MODELS"]) / base),
    ):
        assert lines.count(json.dumps(placeholder)) == 1
        lines = lines.replace(json.dumps(placeholder), json.dumps(str(path)))
    request = tmp_path / "request.json"
    request.write_text(json.dumps([lines, conversations]))
    called = trainer.call("-c", ANSWER_EACH, str(request))
    assert called.returncode == 0, called.stderr
    return json.loads(called.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("spec", "stop_tokens"),
    [
        ({"base_model": "two_ends", "chat_template": "chatml"}, ["<|endoftext|>", "<|im_end|>"]),
        ({"base_model": "tiny"}, ["<|end|>"]),
    ],
)
def test_the_lines_of_the_readme_give_the_answers_of_the_comparison(
    unusual: Trainer, fresh_trainer: Trainer, tmp_path: Path, spec: dict[str, Any], stop_tokens: list[str]
) -> None:
    folder = run_folder(tmp_path / "run", data=same_answer(), max_steps=60, **spec)
    metadata = unusual.run(folder).finished.metadata
    assert metadata["stop_tokens"] == stop_tokens
    samples = metadata["samples"]
    clean = Trainer(fresh_trainer.python, unusual.environment, fresh_trainer.launcher)
    answers, imported = answers_of_readme(
        clean, folder / "adapter", spec["base_model"], [sample["messages"] for sample in samples], tmp_path
    )
    assert answers == [sample["adapter"] for sample in samples]
    assert not imported
    conversation = Conversation(unusual, folder / "adapter", base=spec["base_model"])
    tried = [conversation.texts(messages=sample["messages"], max_tokens=120)["adapter"] for sample in samples]
    assert conversation.close() == 0
    assert tried == answers
    assert GOOD in answers, "an answer has ended at the end token that was learned"
