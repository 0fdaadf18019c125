"""Nothing that a person wrote is lost in a chat template without a word."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Trainer, run_folder

pytestmark = pytest.mark.xdist_group("trainer")

DIFFERENCES = Path(__file__).with_name("template_differences.py")
ALL = ["names of participants", "tool calls", "tool results", "tools"]


@pytest.fixture(scope="session")
def differences(trainer: Trainer) -> dict[str, Any]:
    called = trainer.call(str(DIFFERENCES))
    assert called.returncode == 0, called.stderr
    results: dict[str, Any] = json.loads(called.stdout.splitlines()[-1])
    return results


def test_conversations_that_differ_give_different_tokens_or_the_loss_is_found(differences: dict[str, Any]) -> None:
    assert differences["untold"] == []


@pytest.mark.parametrize(
    ("template", "lost"),
    [
        ("plain", ["names of participants"]),
        ("chatml", ["names of participants"]),
        ("qwen2_5", ["messages", "names of participants"]),  # those of role developer
        ("qwen3", ["messages", "names of participants"]),
        ("llama3", ["names of participants", "tool calls", "tools"]),
        ("phi3", ["messages", *ALL]),
        ("gemma", ["names of participants", "tools"]),
        ("tiny", ["names of participants", "tools"]),
    ],
)
def test_each_template_is_known_by_what_it_leaves_out(
    differences: dict[str, Any], template: str, lost: list[str]
) -> None:
    assert differences["lost"][template] == lost


def parts_data(tools: bool) -> str:
    """Conversations that call a tool; without `tools`, they do not say which ones there are."""
    return "\n".join(json.dumps(_parts_example(number, tools)) for number in range(12))


def _parts_example(number: int, tools: bool) -> dict[str, Any]:
    function = {"name": "stock", "arguments": json.dumps({"part": number})}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    description = {"name": "stock", "description": "Looks into the shelf", "parameters": {"type": "object"}}
    messages = [
        {"role": "user", "content": f"Stock of part {number}?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": str(number)},
        {"role": "assistant", "content": f"{number} left."},
    ]
    return {"messages": messages} | ({"tools": [{"type": "function", "function": description}]} if tools else {})


@pytest.mark.parametrize(("template", "lost"), [(None, "have tools"), ("phi3", "have tool calls")])
def test_data_that_the_template_leaves_out_is_rejected_with_its_lines(
    trainer: Trainer, tmp_path: Path, template: str | None, lost: str
) -> None:
    folder = run_folder(tmp_path / "run", data="\n" + parts_data(tools=True), max_steps=2, chat_template=template)
    error = trainer.run(folder).failure.error
    assert (error.code, error.retryable) == ("template_loses_data", False)
    assert f"12 of 12 training examples {lost} (data.jsonl, lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 …)" in error.message
    assert error.advice
    assert "(plain)" in error.advice


def test_what_is_left_out_on_request_is_told_on_the_model(trainer: Trainer, tmp_path: Path) -> None:
    folder = run_folder(
        tmp_path / "run", data=parts_data(tools=True), max_steps=2, max_length=60, on_template_loss="warn"
    )
    notes = trainer.run(folder).finished.metadata["notes"]
    (lost,) = [note for note in notes if "tools" in note]
    assert lost.startswith(
        "12 of 12 training examples have tools that the chat template leaves out (data.jsonl, lines 1,"
    )
    assert lost in (folder / "adapter" / "README.md").read_text()
    assert lost in (folder / "log").read_text()


def test_tools_change_the_training_where_the_template_renders_them(trainer: Trainer, tmp_path: Path) -> None:
    losses = [
        trainer.run(
            run_folder(tmp_path / str(tools), data=parts_data(tools), max_steps=2, chat_template="plain")
        ).losses
        for tools in (True, False)
    ]
    assert losses[0] != losses[1]
