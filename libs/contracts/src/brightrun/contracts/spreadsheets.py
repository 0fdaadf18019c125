"""CSV that a spreadsheet opens without running any of it."""

import csv
import io
from collections.abc import Iterable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(rows: Iterable[Iterable[object]]) -> str:
    """The rows as lines of CSV; no text in them is a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([[safe_cell(cell) for cell in row] for row in rows])
    return text.getvalue()


def safe_cell(value: object) -> object:
    """The value; a quote before a text that a spreadsheet would run keeps it text: after OWASP, "CSV Injection"."""
    is_formula = isinstance(value, str) and value.lstrip(" ").startswith(FORMULA_STARTS)
    return f"'{value}" if is_formula else value
