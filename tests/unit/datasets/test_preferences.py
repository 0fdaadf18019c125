"""Every error that one example of preferences can have."""

from typing import Any

import pytest

from brightrun.datasets.examples import ExampleReader
from brightrun.datasets.models import DPO, InvalidExample, Problem
from brightrun.datasets.typed import conversations_of, estimate_tokens

QUESTION = {"role": "user", "content": "The door squeaks."}
BETTER, WORSE = {"role": "assistant", "content": "Oil the hinge."}, {"role": "assistant", "content": "Sell the house."}
TOOL = {"type": "function", "function": {"name": "find_part", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find_part", "arguments": "{}"}}


READER = ExampleReader(DPO)


def find_problems(example: Any) -> list[Problem]:
    try:
        READER.normalize(example)
    except InvalidExample as invalid:
        return invalid.problems
    return []


def example(**changes: Any) -> dict[str, Any]:
    return {
        "input": {"messages": [QUESTION]},
        "preferred_output": [BETTER],
        "non_preferred_output": [WORSE],
    } | changes


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages)} | more


@pytest.mark.parametrize(
    "sound",
    [
        example(),
        example(input=asked({"role": "system", "content": "Be brief."}, QUESTION, BETTER, QUESTION)),
        example(input=asked(QUESTION, tools=[TOOL], parallel_tool_calls=True)),
        example(preferred_output=[{"role": "assistant", "content": None, "tool_calls": [CALL]}]),
        example(
            input=asked(
                QUESTION,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "shelf 4"},
            )
        ),
    ],
)
def test_a_sound_example_has_no_problems(sound: dict[str, Any]):
    assert list(find_problems(sound)) == []


@pytest.mark.parametrize(
    ("broken", "path", "code"),
    [
        (7, "$", "data_type"),
        (example(input=None), "$.input", "data_type"),
        (example(input=[QUESTION]), "$.input", "data_type"),
        (example(input={}), "$.input.messages", "missing_messages_list"),
        (example(input=asked("hello")), "$.input.messages[0]", "data_type"),
        (example(input=asked(QUESTION | {"role": "human"}, QUESTION)), "$.input.messages[0].role", "unrecognized_role"),
        (example(input=asked(QUESTION, BETTER)), "$.input.messages[1].role", "nothing_to_answer"),
        (example(input=asked(QUESTION, tools="all")), "$.input.tools", "invalid_tools"),
        (example(input=asked(QUESTION, tools=[7])), "$.input.tools[0]", "invalid_tools"),
        (example(preferred_output=BETTER), "$.preferred_output", "missing_output"),
        (example(preferred_output=[]), "$.preferred_output", "missing_output"),
        (example(non_preferred_output=[WORSE, WORSE]), "$.non_preferred_output", "missing_output"),
        (example(non_preferred_output=[QUESTION]), "$.non_preferred_output[0].role", "unrecognized_role"),
        (example(non_preferred_output=["no"]), "$.non_preferred_output[0]", "data_type"),
        (example(preferred_output=[BETTER | {"content": " "}]), "$.preferred_output[0].content", "empty_content"),
        (example(non_preferred_output=[BETTER]), "$.non_preferred_output", "same_outputs"),
    ],
)
def test_each_error_has_its_path_and_code(broken: Any, path: str, code: str):
    assert [problem[:2] for problem in find_problems(broken)] == [(path, code)]


def test_every_error_of_an_example_is_found():
    found = [problem[:2] for problem in find_problems({"input": 1, "preferred_output": 1, "non_preferred_output": 1})]
    assert found == [
        ("$.input", "data_type"),
        ("$.preferred_output", "missing_output"),
        ("$.non_preferred_output", "missing_output"),
    ]


def test_tokens_are_those_of_both_conversations():
    pair = conversations_of(READER.normalize(example()))
    alone = [conversations_of({"messages": [QUESTION, output]})[0] for output in (BETTER, WORSE)]
    assert list(map(estimate_tokens, pair)) == list(map(estimate_tokens, alone))
