"""Reads one example of a known format: its errors, or its normal form. The validator and the trainer both use it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from brightrun.datasets import chat, preferences, translations, typed
from brightrun.datasets.models import (
    ALPACA,
    DPO,
    OPENAI_CHAT,
    PROMPT_COMPLETION,
    SHAREGPT,
    InvalidExample,
    Problem,
    kind,
    quote,
)

FORMATS = (OPENAI_CHAT, PROMPT_COMPLETION, ALPACA, SHAREGPT, DPO)
KEYS = {
    OPENAI_CHAT: ("messages", "tools", "functions", "parallel_tool_calls"),
    PROMPT_COMPLETION: ("prompt", "completion", "tools"),
    ALPACA: ("instruction", "input", "output", "system", "history", "tools"),
    SHAREGPT: ("conversations", "system", "tools"),
    DPO: ("input", "preferred_output", "non_preferred_output", "prompt", "chosen", "rejected", "tools"),
}
"""The keys of each format; others are ignored."""
JSON_KEYS = frozenset({"messages", "conversations", "tools", "functions", "history"})
"""Keys whose values may also be JSON text, as in tables."""
_MARKS = (
    (OPENAI_CHAT, {"messages"}),
    (SHAREGPT, {"conversations"}),
    (DPO, {"input", "preferred_output", "non_preferred_output"}),
    (DPO, {"chosen", "rejected"}),
    (PROMPT_COMPLETION, {"prompt", "completion"}),
    (ALPACA, {"instruction", "output"}),
)
_TRANSLATORS: dict[str, translations.Translator] = {
    PROMPT_COMPLETION: translations.prompt_completion,
    ALPACA: translations.alpaca,
    SHAREGPT: translations.sharegpt,
}


def detect_format(keys: Iterable[str], columns: Mapping[str, str]) -> str | None:
    """The format of an example with these keys; None if they are those of no format."""
    names = {column: key for key, column in columns.items()}
    found = {names.get(key, key) for key in keys}
    return next((name for name, marks in _MARKS if marks <= found), None)


@dataclass(frozen=True, slots=True)
class ExampleReader:
    """Reads examples of one format. `columns`: keys of the format → what the data set calls them."""

    format: str
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads_openai(self) -> bool:
        """Whether the examples need no translation, because the trainer reads this format as it is."""
        return self.format in (OPENAI_CHAT, DPO) and not self.columns

    def read(self, line: bytes) -> dict[str, Any]:
        """The normal form of an example: a conversation, or a pair of answers. Raises InvalidExample."""
        try:
            return self.normalize(msgspec.json.decode(line))
        except RecursionError:
            raise InvalidExample([Problem("$", "invalid_json", "nested too deeply")]) from None
        except msgspec.DecodeError as error:
            raise InvalidExample([_explain(line, error)]) from None
        except UnicodeDecodeError as error:
            raise InvalidExample([_explain(line, error)]) from None

    def normalize(self, row: Any) -> dict[str, Any]:
        """The same of a decoded line."""
        if not isinstance(row, dict):
            message = f"an example must be a JSON object, not {kind(row)}: {quote(row)}"
            raise InvalidExample([Problem("$", "data_type", message)])
        example: dict[str, Any] = chat.without_nulls(_parse(self._rename(row)))
        problems, paths = list[Problem](), translations.Paths()
        translate = _TRANSLATORS.get(self.format)
        if self.format == DPO and example.keys() & {"chosen", "rejected"}:
            translate = translations.preference
        if translate:
            example, translation = translate(example)
            problems, paths = translation.problems, translation.paths
        if not problems and self.format != DPO and translate and typed.is_normal(example):
            return example
        rules = preferences if self.format == DPO else chat
        known = {problem.path for problem in problems}
        found = (problem._replace(path=_origin(problem.path, paths)) for problem in rules.find_problems(example))
        problems += [problem for problem in found if problem.path not in known]
        if problems:
            raise InvalidExample([problem._replace(path=self._in_columns(problem.path)) for problem in problems])
        return preferences.normalize_pair(example) if self.format == DPO else chat.normalize(example)

    def _rename(self, row: dict[str, Any]) -> dict[str, Any]:
        if not self.columns:
            return row
        taken = {*self.columns, *self.columns.values()}
        kept = {key: value for key, value in row.items() if key not in taken}
        return kept | {key: row[column] for key, column in self.columns.items() if column in row}

    def _in_columns(self, path: str) -> str:
        """The path with the data set's own names of keys."""
        for key, column in self.columns.items():
            if _is_under(path, f"$.{key}"):
                return f"$.{column}" + path[len(f"$.{key}") :]
        return path


def _origin(path: str, paths: Mapping[str, str]) -> str:
    """Where a path of the example comes from in the row."""
    prefix = max((known for known in paths if _is_under(path, known)), key=len, default=None)
    return path if prefix is None else paths[prefix] + path[len(prefix) :]


def _parse(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the lists that tables hold as JSON text."""
    parsed = {key: _json(value) for key, value in row.items() if key in JSON_KEYS and isinstance(value, str)}
    return row | parsed if parsed else row


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text.strip() else None
    except (msgspec.DecodeError, RecursionError):
        return text


def _is_under(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", ".", "[")


def _explain(line: bytes, error: Exception) -> Problem:
    """What is wrong with a line that the parser refused."""
    try:
        line.decode()
    except UnicodeDecodeError as broken:
        return Problem("$", "not_utf8", f"byte {broken.start + 1} of the line is not UTF-8")
    if line.startswith(b"\xef\xbb\xbf"):
        hint = "a byte order mark may only begin the file"
    elif b"}\r{" in line.replace(b" ", b""):
        hint = "lines must end with LF or CRLF, not with CR alone"
    else:
        hint = "NaN, Infinity and half surrogate pairs are not JSON either"
    return Problem("$", "invalid_json", f"not JSON: {error} ({hint})")
