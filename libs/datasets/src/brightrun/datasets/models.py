"""Names of formats, and what is wrong with an example."""

import json
from typing import Any, NamedTuple

OPENAI_CHAT = "openai_chat"
PROMPT_COMPLETION = "prompt_completion"
ALPACA = "alpaca"
SHAREGPT = "sharegpt"
DPO = "dpo"
MAX_LINE_BYTES = 8 * 1024 * 1024
"""The longest example, in bytes of JSON."""
MAX_QUOTE_LENGTH = 80


class Problem(NamedTuple):
    """One error of an example: its JSON path, a stable code, and what is expected."""

    path: str
    code: str
    message: str


class InvalidExample(ValueError):
    """The example has problems, of which the text names the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{problems[0].path}: {problems[0].message}")
        self.problems = problems


def kind(value: Any) -> str:
    """What a value of JSON is, in a word."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def quote(value: Any) -> str:
    """`value` as short, printable JSON: reports are shown in pages and stored as text without NUL."""
    if isinstance(value, str):
        value = value[: MAX_QUOTE_LENGTH + 1]
    text = json.dumps(value)
    return text if len(text) <= MAX_QUOTE_LENGTH else text[:MAX_QUOTE_LENGTH] + "…"
