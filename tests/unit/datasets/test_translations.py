"""Other formats as OpenAI's, with errors that name the keys of the file."""

import json
from typing import Any

import pytest

from brightrun.datasets.examples import ExampleReader
from brightrun.datasets.models import ALPACA, DPO, OPENAI_CHAT, PROMPT_COMPLETION, SHAREGPT, InvalidExample

USER, ASSISTANT = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOL = {"type": "function", "function": {"name": "stock"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": '{"part": 4}'}}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages)} | more


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": speaker, "value": text} for speaker, text in pairs]


@pytest.mark.parametrize(
    ("file_format", "row", "example"),
    [
        (PROMPT_COMPLETION, {"prompt": "Why?", "completion": "So.", "id": 3}, chat(USER, ASSISTANT)),
        (PROMPT_COMPLETION, {"prompt": [SYSTEM, USER], "completion": [ASSISTANT]}, chat(SYSTEM, USER, ASSISTANT)),
        (ALPACA, {"instruction": "Why?", "output": "So."}, chat(USER, ASSISTANT)),
        (ALPACA, {"instruction": "Why?", "input": "", "output": "So.", "system": None}, chat(USER, ASSISTANT)),
        (ALPACA, {"instruction": "", "input": "Why?", "output": "So."}, chat(USER, ASSISTANT)),
        (
            ALPACA,
            {"instruction": "Sum", "input": "1 2", "output": "3", "system": "Be brief.", "history": [["Why?", "So."]]},
            chat(
                SYSTEM,
                USER,
                ASSISTANT,
                {"role": "user", "content": "Sum\n\n1 2"},
                {"role": "assistant", "content": "3"},
            ),
        ),
        (
            SHAREGPT,
            {"conversations": turns(("system", "Be brief."), ("human", "Why?"), ("gpt", "So."))},
            chat(SYSTEM, USER, ASSISTANT),
        ),
        (SHAREGPT, {"conversations": [USER | {"markdown": 1}, ASSISTANT | {"weight": 0}, USER, ASSISTANT]},
         chat(USER, ASSISTANT | {"weight": 0}, USER, ASSISTANT)),
        (
            SHAREGPT,
            {
                "system": "Be brief.",
                "tools": '[{"type": "function", "function": {"name": "stock"}}]',
                "conversations": turns(
                    ("human", "Why?"),
                    ("function_call", '{"name": "stock", "arguments": {"part": 4}}'),
                    ("observation", "none"),
                    ("gpt", "So."),
                ),
            },
            chat(
                SYSTEM,
                USER,
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "content": "none", "tool_call_id": "call_1"},
                ASSISTANT,
                tools=[TOOL],
            ),
        ),
    ],
)  # fmt: skip
def test_a_row_becomes_a_conversation(file_format: str, row: dict[str, Any], example: dict[str, Any]):
    assert ExampleReader(file_format).normalize(row) == example
    assert ExampleReader(OPENAI_CHAT).normalize(example) == example


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No."}, [USER]),
        ({"prompt": [SYSTEM, USER], "chosen": [ASSISTANT], "rejected": "No."}, [SYSTEM, USER]),
        (
            {"prompt": "Why?", "chosen": [USER, ASSISTANT], "rejected": [USER, ASSISTANT | {"content": "No."}]},
            [USER],
        ),
        ({"chosen": [USER, ASSISTANT], "rejected": [USER, ASSISTANT | {"content": "No."}]}, [USER]),
    ],
)
def test_a_row_becomes_a_pair_of_answers(row: dict[str, Any], prompt: list[Any]):
    pair = {
        "input": {"messages": prompt},
        "preferred_output": [ASSISTANT],
        "non_preferred_output": [ASSISTANT | {"content": "No."}],
    }
    assert ExampleReader(DPO).normalize(row) == pair
    assert ExampleReader(DPO).normalize(pair) == pair


@pytest.mark.parametrize(
    ("file_format", "row", "found"),
    [
        (PROMPT_COMPLETION, {"prompt": " "}, [("$.prompt", "empty_content"), ("$.completion", "missing_key")]),
        (PROMPT_COMPLETION, {"prompt": 7, "completion": "So."}, [("$.prompt", "data_type")]),
        (PROMPT_COMPLETION, {"prompt": [USER, 7], "completion": [ASSISTANT]}, [("$.prompt[1]", "data_type")]),
        (
            PROMPT_COMPLETION,
            {"prompt": "Why?", "completion": [USER]},
            [("$.completion", "example_missing_assistant_message")],
        ),
        (ALPACA, {"input": "", "output": None}, [("$.instruction", "missing_key"), ("$.output", "missing_key")]),
        (ALPACA, {"instruction": "a", "output": "b", "history": [["a"]]}, [("$.history[0]", "data_type")]),
        (ALPACA, {"instruction": "a", "output": "b", "history": [["a", " "]]}, [("$.history[0][1]", "empty_content")]),
        (ALPACA, {"instruction": "a", "output": "b", "tools": "all"}, [("$.tools", "invalid_tools")]),
        (SHAREGPT, {"conversations": []}, [("$.conversations", "missing_messages_list")]),
        (SHAREGPT, {"conversations": [7, *turns(("gpt", "So."))]}, [("$.conversations[0]", "data_type")]),
        (
            SHAREGPT,
            {"conversations": turns(("alien", "Why?"), ("gpt", " "))},
            [("$.conversations[0].from", "unrecognized_role"), ("$.conversations[1].value", "empty_content")],
        ),
        (SHAREGPT, {"conversations": turns(("gpt", "So."), ("tool", "4"))},
         [("$.conversations[1].from", "unknown_tool_call")]),
        (SHAREGPT, {"conversations": turns(("human", "Why?"), ("function_call", "{"), ("gpt", "So."))},
         [("$.conversations[1].value", "invalid_function_call")]),
        (DPO, {"chosen": "So.", "rejected": 7}, [("$.prompt", "missing_key"), ("$.rejected", "data_type")]),
        (DPO, {"prompt": "Why?", "chosen": "So.", "rejected": "So."}, [("$.rejected", "same_outputs")]),
        (DPO, {"chosen": [USER, ASSISTANT], "rejected": [SYSTEM, ASSISTANT]}, [("$.rejected", "different_prompts")]),
    ],
)  # fmt: skip
def test_errors_name_the_keys_of_the_row(file_format: str, row: dict[str, Any], found: list[tuple[str, str]]):
    with pytest.raises(InvalidExample) as invalid:
        ExampleReader(file_format).normalize(row)
    assert [problem[:2] for problem in invalid.value.problems] == found


def test_columns_may_have_other_names():
    reader = ExampleReader(PROMPT_COMPLETION, {"prompt": "question", "completion": "prompt"})
    assert reader.normalize({"question": "Why?", "prompt": "So."}) == chat(USER, ASSISTANT)
    with pytest.raises(InvalidExample) as invalid:
        reader.normalize({"completion": "So."})
    assert [problem.path for problem in invalid.value.problems] == ["$.question", "$.prompt"]


@pytest.mark.parametrize(
    ("file_format", "row"),
    [
        (OPENAI_CHAT, chat(USER, ASSISTANT, tools=[TOOL])),
        (OPENAI_CHAT, chat(USER, ASSISTANT, functions=[TOOL["function"]])),
        (SHAREGPT, {"conversations": turns(("human", "Why?"), ("gpt", "So.")), "tools": [TOOL]}),
    ],
)
def test_lists_may_be_json_text_as_in_tables(file_format: str, row: dict[str, Any]):
    expected = chat(USER, ASSISTANT, tools=[TOOL])
    assert ExampleReader(file_format).normalize({key: json.dumps(value) for key, value in row.items()}) == expected
    with pytest.raises(InvalidExample) as invalid:
        ExampleReader(file_format).normalize(row | {"tools": "[", "functions": ""})
    assert [problem[:2] for problem in invalid.value.problems] == [("$.tools", "invalid_tools")]
