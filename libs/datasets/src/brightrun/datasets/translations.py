"""Other formats as OpenAI's: each function turns a row into an example and finds the errors of the row's own keys.

Prompt and completion, and pairs of answers, may be texts or lists of messages, as TRL reads them. Alpaca is
`{"instruction", "input"?, "output", "system"?, "history"?}`. ShareGPT is `{"conversations": [{"from", "value"}, …] or
[{"role", "content"}, …], "system"?, "tools"?}`.
"""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from brightrun.datasets.chat import MESSAGE_KEYS
from brightrun.datasets.models import Problem, kind, quote

Row: TypeAlias = dict[str, Any]
Paths: TypeAlias = dict[str, str]
"""JSON paths of an example, and where they come from in the row."""
SHAREGPT_ROLES = {
    "human": "user", "user": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bard": "assistant", "bing": "assistant",
    "model": "assistant",
    "system": "system", "developer": "developer",
    "function_call": "function_call", "tool_call": "function_call",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip
"""What ShareGPT data sets call the speakers."""


class Translation:
    """An example in the making: `add` a value of the row where it belongs, with the path it comes from."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.messages: list[Any] = []
        self.paths: Paths = {}
        self.problems: list[Problem] = []

    def add_text(self, role: str, key: str, *, optional: bool = False) -> None:
        """A message with the text at `key` of the row."""
        text = self.text(key, optional=optional)
        if text is not None:
            self.paths[f"$.messages[{len(self.messages)}].content"] = f"$.{key}"
            self.messages.append({"role": role, "content": text})

    def text(self, key: str, *, optional: bool = False) -> str | None:
        """The text at `key`; None, and a problem unless it is `optional`, if there is none."""
        value = self.row.get(key)
        if isinstance(value, str) and value.strip():
            return value
        if not (optional and value in (None, "")):
            code = "missing_key" if value is None else "empty_content" if isinstance(value, str) else "data_type"
            found = "" if value is None or isinstance(value, str) else f", not {kind(value)}"
            self.problems.append(Problem(f"$.{key}", code, f"`{key}` must be a text that is not empty{found}"))
        return None

    def add_messages(self, role: str, key: str) -> None:
        """The messages at `key` of the row, or one with the text there."""
        value = self.row.get(key)
        if not isinstance(value, list):
            self.add_text(role, key)
            return
        for index, message in enumerate(value):
            self.paths[f"$.messages[{len(self.messages)}]"] = f"$.{key}[{index}]"
            self.messages.append(message)


def prompt_completion(row: Row) -> tuple[Row, Translation]:
    """`{"prompt", "completion"}`."""
    translation = Translation(row)
    translation.add_messages("user", "prompt")
    translation.add_messages("assistant", "completion")
    translation.paths["$.messages"] = "$.completion"
    return _conversation(translation), translation


def alpaca(row: Row) -> tuple[Row, Translation]:
    """The input follows the instruction after an empty line."""
    translation = Translation(row)
    translation.add_text("system", "system", optional=True)
    for index, turn in enumerate(_list(translation, "history")):
        path = f"$.history[{index}]"
        if not isinstance(turn, list) or len(turn) != 2:
            translation.problems.append(Problem(path, "data_type", "must be a list of a question and its answer"))
            continue
        for place, role in enumerate(("user", "assistant")):
            translation.paths[f"$.messages[{len(translation.messages)}].content"] = f"{path}[{place}]"
            translation.messages.append({"role": role, "content": turn[place]})
    more = translation.text("input", optional=True)
    question = translation.text("instruction", optional=more is not None)
    translation.paths[f"$.messages[{len(translation.messages)}].content"] = "$.instruction"
    translation.messages.append({"role": "user", "content": "\n\n".join(part for part in (question, more) if part)})
    translation.add_text("assistant", "output")
    translation.paths["$.messages"] = "$.output"
    return _conversation(translation), translation


def sharegpt(row: Row) -> tuple[Row, Translation]:
    """Speakers by their usual names. The text of a `function_call` is the JSON of a call with name and arguments."""
    translation = Translation(row)
    translation.paths["$.messages"] = "$.conversations"
    translation.add_text("system", "system", optional=True)
    last_call = ""
    turns = row.get("conversations")
    for index, turn in enumerate(turns if isinstance(turns, list) else []):
        path, place = f"$.conversations[{index}]", f"$.messages[{len(translation.messages)}]"
        if not isinstance(turn, dict):
            translation.problems.append(Problem(path, "data_type", f"a turn must be a JSON object, not {kind(turn)}"))
            continue
        role_key, text_key = ("from", "value") if "from" in turn or "value" in turn else ("role", "content")
        speaker = turn.get(role_key)
        role = SHAREGPT_ROLES.get(speaker) if isinstance(speaker, str) else None
        message = {key: turn[key] for key in MESSAGE_KEYS & turn.keys()}
        message |= {"role": role or speaker, "content": turn.get(text_key)}
        if role is None and speaker is not None:
            names = ", ".join(SHAREGPT_ROLES)
            translation.problems.append(
                Problem(f"{path}.{role_key}", "unrecognized_role", f"{quote(speaker)} is not one of {names}")
            )
        elif role == "function_call":
            last_call = f"call_{index}"
            message = _call(last_call, turn.get(text_key), f"{path}.{text_key}", translation)
        elif role == "tool" and "tool_call_id" not in message:
            message["tool_call_id"] = last_call
            translation.paths[f"{place}.tool_call_id"] = f"{path}.{role_key}"
        translation.paths |= {
            place: path,
            f"{place}.role": f"{path}.{role_key}",
            f"{place}.content": f"{path}.{text_key}",
        }
        translation.messages.append({key: value for key, value in message.items() if value is not None})
    if not isinstance(turns, list) or not turns:
        problem = Problem(
            "$.conversations", "missing_messages_list", "`conversations` must be a list with at least one turn"
        )
        translation.problems.append(problem)
    return _conversation(translation), translation


def preference(row: Row) -> tuple[Row, Translation]:
    """`{"prompt", "chosen", "rejected"}`; lists of messages may repeat the prompt, which may then be absent."""
    translation = Translation(row)
    chosen, rejected = row.get("chosen"), row.get("rejected")
    prompt: list[Any] = []
    if "prompt" in row or not isinstance(chosen, list):
        translation.add_messages("user", "prompt")
        prompt = translation.messages
    if isinstance(chosen, list) and isinstance(rejected, list) and len(chosen) > 1:
        prompt = chosen[:-1]
        if rejected[:-1] != prompt:
            message = "`chosen` and `rejected` may differ in their last message only"
            translation.problems.append(Problem("$.rejected", "different_prompts", message))
    example: Row = {"input": {"messages": prompt}}
    for key, name in (("chosen", "preferred_output"), ("rejected", "non_preferred_output")):
        value = row.get(key)
        if isinstance(value, list) and value:
            translation.paths[f"$.{name}[0]"] = f"$.{key}[{len(value) - 1}]"
            example[name] = value[-1:]
        elif (text := translation.text(key)) is not None:
            translation.paths[f"$.{name}[0].content"] = f"$.{key}"
            example[name] = [{"role": "assistant", "content": text}]
        translation.paths[f"$.{name}"] = f"$.{key}"
    translation.paths = {path.replace("$.messages", "$.input.messages"): to for path, to in translation.paths.items()}
    translation.paths["$.input.messages"] = "$.prompt"
    if "tools" in row:
        example["input"]["tools"] = translation.row["tools"]
        translation.paths["$.input.tools"] = "$.tools"
    return example, translation


Translator: TypeAlias = Callable[[Row], tuple[Row, Translation]]


def _conversation(translation: Translation) -> Row:
    example: Row = {"messages": translation.messages}
    if "tools" in translation.row:
        example["tools"] = translation.row["tools"]
    return example


def _call(call_id: str, text: Any, path: str, translation: Translation) -> Row:
    try:
        call = json.loads(text) if isinstance(text, str) else text
        arguments = call["arguments"]
        function = {
            "name": call["name"],
            "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
        }
    except (ValueError, TypeError, KeyError, RecursionError):
        message = 'a function call must be the JSON text of {"name": …, "arguments": {…}}'
        translation.problems.append(Problem(path, "invalid_function_call", message))
        function = {"name": "unknown", "arguments": "{}"}
    return {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def _list(translation: Translation, key: str) -> list[Any]:
    value = translation.row.get(key, [])
    if isinstance(value, list):
        return value
    translation.problems.append(Problem(f"$.{key}", "data_type", f"`{key}` must be a list, not {kind(value)}"))
    return []
