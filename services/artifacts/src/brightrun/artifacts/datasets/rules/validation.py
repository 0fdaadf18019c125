"""The validation of a JSONL data set, fed with its bytes piece by piece; memory does not grow with the data set."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from brightrun.artifacts.datasets.models import Issue, Report
from brightrun.artifacts.datasets.rules import chat_format, preference_format
from brightrun.artifacts.datasets.rules.chat_format import DPO, OPENAI_CHAT

FORMATS = {OPENAI_CHAT: chat_format, DPO: preference_format}
"""Formats that can be trained on. The first example decides the format of a data set."""
MIN_DATASET_EXAMPLES = 10
"""OpenAI's minimum too."""
MAX_LINE_LENGTH = 8 * 1024 * 1024
MAX_ISSUES = 10_000
"""Errors that are kept with their place; all are counted."""
DUPLICATES_AMONG = 100_000
"""Duplicates are counted among the first examples only."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Validation:
    """One pass over a data set: `feed` every piece of it, then read the `report`."""

    def __init__(self, max_line_length: int = MAX_LINE_LENGTH, max_issues: int = MAX_ISSUES) -> None:
        self._max_line_length = max_line_length
        self._max_issues = max_issues
        self._rest = bytearray()
        self._overlong = False
        self._line = 0
        self._format: str | None = None
        self._examples = self._tokens = self._duplicates = 0
        self._seen: set[int] = set()
        self._counts: Counter[str] = Counter()
        self._issues: list[Issue] = []

    @property
    def unsupported(self) -> bool:
        """Whether the format cannot be validated, so that the rest need not be read."""
        return self._format is not None and self._format not in FORMATS

    def feed(self, piece: bytes) -> None:
        """Check the lines that end in `piece`."""
        for line in self._split(piece):
            if self.unsupported:
                return
            self._check_line(line)

    def report(self) -> Report:
        """The result, once everything was fed."""
        if (self._rest or self._overlong) and not self.unsupported:
            self._check_line(bytes(self._rest))
            self._rest.clear()
        if self._line < MIN_DATASET_EXAMPLES and not self.unsupported:
            self._add(0, "$", "too_few_examples", f"{MIN_DATASET_EXAMPLES} examples are needed, these are {self._line}")
        return Report(
            format=self._format or OPENAI_CHAT,
            training_pairs=self._examples,
            tokens=self._tokens,
            duplicates=self._duplicates,
            errors_by_code=dict(self._counts),
            issues=tuple(self._issues),
        )

    def _split(self, piece: bytes) -> Iterator[bytes]:
        """Complete lines; one that is too long is cut to nothing while it passes and marked as `_overlong`."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            if self._rest or self._overlong:
                self._keep(piece[start:end])
                line = bytes(self._rest)
                self._rest.clear()
            else:
                line = piece[start:end]
            yield line
            start = end + 1
        self._keep(piece[start:])

    def _keep(self, part: bytes) -> None:
        if self._overlong or len(self._rest) + len(part) > self._max_line_length:
            self._overlong = True
            self._rest.clear()
        else:
            self._rest += part

    def _check_line(self, line: bytes) -> None:
        self._line += 1
        if self._overlong or len(line) > self._max_line_length:
            self._overlong = False
            message = f"a line may have {self._max_line_length // 1024 // 1024} MiB at most"
            self._add(self._line, "$", "line_too_long", message)
            return
        if self._line == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        line = line.strip(b" \t\r")
        if not line:
            self._add(self._line, "$", "empty_line", "the line is empty; remove it")
            return
        try:
            example = from_json(line, allow_inf_nan=False, cache_strings="keys")
        except ValueError as error:
            self._add(self._line, "$", *_explain(line, error))
            return
        self._check_example(line, example)

    def _check_example(self, line: bytes, example: Any) -> None:
        if self._format is None:
            self._format = chat_format.detect_format(example)
        if self.unsupported:
            message = f"this is {self._format}; supported are {', '.join(FORMATS)}"
            self._add(self._line, "$", "unsupported_format", message)
            return
        rules, error_count = FORMATS[self._format], self._counts.total()
        for path, code, message in rules.find_problems(example):
            self._add(self._line, path, code, message)
        if self._counts.total() == error_count:
            self._examples += 1
            self._tokens += rules.estimate_tokens(example)
            self._count_duplicate(hash(line))

    def _count_duplicate(self, digest: int) -> None:
        if digest in self._seen:
            self._duplicates += 1
        elif len(self._seen) < DUPLICATES_AMONG:
            self._seen.add(digest)

    def _add(self, line: int, path: str, code: str, message: str) -> None:
        self._counts[code] += 1
        if len(self._issues) < self._max_issues:
            self._issues.append(Issue(line, path, code, message))


def report_missing(file_format: str) -> Report:
    """The report on a data set whose file the store has lost."""
    issue = Issue(0, "$", "file_missing", "the file is not in the store; upload it again")
    return Report(file_format, 0, 0, 0, {issue.code: 1}, (issue,))


def _explain(line: bytes, error: ValueError) -> tuple[str, str]:
    """Code and message of a line that the parser refused."""
    try:
        line.decode()
    except UnicodeDecodeError as broken:
        return "not_utf8", f"byte {broken.start + 1} of the line is not UTF-8"
    cause = str(error).replace(" at line 1 column ", " at column ")
    if "recursion limit" in cause:
        return "invalid_json", f"nested too deeply: {cause}"
    return "invalid_json", f"not JSON: {cause} (NaN, Infinity and half surrogate pairs are not JSON either)"
