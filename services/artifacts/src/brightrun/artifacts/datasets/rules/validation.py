"""The validation of a data set in one pass over its bytes; memory does not grow with the data set."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import msgspec

from brightrun.artifacts.datasets.models import Issue, ReadingOptions, Report
from brightrun.artifacts.datasets.rules.sensitive import find_sensitive
from brightrun.artifacts.datasets.rules.statistics import Statistics
from brightrun.contracts.artifacts import MAX_UPLOAD_BYTES
from brightrun.datasets import typed
from brightrun.datasets.containers import Lines, Unreadable
from brightrun.datasets.examples import ExampleReader, detect_format
from brightrun.datasets.models import MAX_LINE_BYTES, OPENAI_CHAT, InvalidExample, Problem

MIN_DATASET_EXAMPLES = 10
"""OpenAI's minimum too."""
MAX_ISSUES = 10_000
"""Errors that are kept with their place, and warnings likewise; all are counted."""
DUPLICATES_AMONG = 100_000
"""Duplicates of the first examples are found, so that memory stays flat."""
SENSITIVE = {"possible_secret": "a secret", "email_address": "an e-mail address"}


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """How long a line may be and how large the file when decompressed, in bytes; how many issues are kept."""

    line_bytes: int = MAX_LINE_BYTES
    file_bytes: int = MAX_UPLOAD_BYTES
    issues: int = MAX_ISSUES


class Validation:
    """One pass over a data set. The first example decides the format unless it is named."""

    def __init__(self, options: ReadingOptions, limits: ReadingLimits | None = None) -> None:
        self._options = options
        self._limits = limits or ReadingLimits()
        self._reader: ExampleReader | None = None
        self._line = self._rows = self._examples = self._duplicates = self._blank_lines = 0
        self._line_of: dict[int, int] = {}
        self._statistics = Statistics()
        self._counts: dict[str, Counter[str]] = {"error": Counter(), "warning": Counter()}
        self._issues: list[Issue] = []
        if options.format:
            self._reader = ExampleReader(options.format, options.columns)

    def run(self, pieces: Iterator[bytes]) -> Report:
        """Check everything."""
        as_is = unreadable = False
        try:
            lines = Lines(pieces, self._options.columns, self._limits.file_bytes, self._limits.line_bytes)
            self._line, as_is = lines.first_line - 1, lines.as_is
            for block in lines:
                self._check_block(block)
        except Unreadable as problem:
            unreadable = True
            self._add(self._line + 1, "$", problem.code, problem.message)
        else:
            self._check_whole()
        reader = self._reader or ExampleReader(OPENAI_CHAT, self._options.columns)
        return Report(
            format=reader.format,
            training_pairs=self._examples,
            tokens=self._statistics.tokens,
            duplicates=self._duplicates,
            statistics=self._statistics.figures(),
            errors_by_code=dict(self._counts["error"]),
            warnings_by_code=dict(self._counts["warning"]),
            issues=tuple(self._issues),
            needs_conversion=not (as_is and reader.reads_openai) or bool(self._counts["error"]),
            unreadable=unreadable,
        )

    def _check_whole(self) -> None:
        count = self._examples if self._options.drop_invalid else self._rows
        if count < MIN_DATASET_EXAMPLES:
            message = f"{MIN_DATASET_EXAMPLES} examples are needed, these are {count}"
            self._add(0, "$", "too_few_examples", message)
        if self._blank_lines:
            self._add(0, "$", "blank_lines", f"{self._blank_lines} empty lines are skipped", "warning")

    def _check_block(self, block: bytes) -> None:
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for position, code, masked in find_sensitive(block):
            number = self._line + 1 + block.count(b"\n", 0, position)
            self._add(number, "$", code, f"this looks like {SENSITIVE[code]}: {masked}", "warning")
        figures = typed.read_block(block) if self._reads_typed and len(block) <= self._limits.line_bytes else None
        if figures is None or len(figures) != len(lines):
            self._check_lines(lines)
        else:
            self._count(lines, figures)

    @property
    def _reads_typed(self) -> bool:
        return self._reader is not None and self._reader.reads_openai and self._reader.format == OPENAI_CHAT

    def _check_lines(self, lines: list[bytes]) -> None:
        """Read lines one by one; valid ones that follow each other are counted together."""
        valid: list[bytes] = []
        figures: list[typed.Figures] = []
        for line in lines:
            found = self._read(line)
            if isinstance(found, tuple):
                valid.append(line)
                figures.append(found)
                continue
            self._count(valid, figures)
            valid, figures = [], []
            self._line += 1
            for problem in found:
                self._add(self._line, *problem)
        self._count(valid, figures)

    def _read(self, line: bytes) -> typed.Figures | list[Problem]:
        """The figures of a valid line, or its problems; an empty line has none."""
        if not line.strip():
            self._blank_lines += 1
            return []
        if len(line) > self._limits.line_bytes:
            self._rows += 1
            message = f"a line may have {self._limits.line_bytes // 1024 // 1024} MiB at most"
            return [Problem("$", "line_too_long", message)]
        try:
            figures = typed.read_line(line) if self._reads_typed else None
            return figures or typed.figures_of(self._reader_of(line).read(line))
        except InvalidExample as invalid:
            self._rows += 1
            return invalid.problems

    def _reader_of(self, line: bytes) -> ExampleReader:
        """The reader of the data set, which the first line with the keys of a format decides."""
        if self._reader:
            return self._reader
        columns = self._options.columns
        try:
            keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ExampleReader(OPENAI_CHAT, columns)
        if detected := detect_format(keys, columns):
            self._reader = ExampleReader(detected, columns)
        return self._reader or ExampleReader(OPENAI_CHAT, columns)

    def _count(self, lines: list[bytes], figures: list[typed.Figures]) -> None:
        """Count valid examples, which are the next lines."""
        if not lines:
            return
        first = self._line + 1
        self._line += len(lines)
        self._rows += len(lines)
        self._examples += len(lines)
        for place, code, message in self._statistics.add(figures):
            self._add(first + place, "$", code, message, "warning")
        digests = list(map(hash, lines))
        if len(set(digests)) == len(digests) and self._line_of.keys().isdisjoint(digests):
            if len(self._line_of) < DUPLICATES_AMONG:
                self._line_of.update(zip(digests, count(first)))
            return
        for line, digest in enumerate(digests, start=first):
            before = self._line_of.get(digest)
            if before is not None:
                self._duplicates += 1
                self._add(line, "$", "duplicate_example", f"the same as line {before}", "warning")
            elif len(self._line_of) < DUPLICATES_AMONG:
                self._line_of[digest] = line

    def _add(self, line: int, path: str, code: str, message: str, severity: str = "error") -> None:
        counts = self._counts[severity]
        counts[code] += 1
        if counts.total() <= self._limits.issues:
            self._issues.append(Issue(line, path, code, message, severity))


def convert(pieces: Iterator[bytes], file_format: str, options: ReadingOptions) -> Iterator[bytes]:
    """The valid examples of a data set as JSON Lines in OpenAI's shape, the one form that trainers read.

    Raises InvalidExample unless invalid ones are to be dropped.
    """
    reader, encode = ExampleReader(file_format, options.columns), msgspec.json.Encoder().encode
    for block in Lines(pieces, options.columns, MAX_UPLOAD_BYTES):
        output = bytearray()
        for line in block.split(b"\n"):
            try:
                if line.strip():
                    output += encode(reader.read(line)) + b"\n"
            except InvalidExample:
                if not options.drop_invalid:
                    raise
        yield bytes(output)


def report_missing(file_format: str) -> Report:
    """The report on a data set whose file the store has lost."""
    issue = Issue(0, "$", "file_missing", "the file is not in the store; upload it again")
    return Report(file_format, 0, 0, 0, {}, {issue.code: 1}, {}, (issue,), needs_conversion=False, unreadable=True)
