"""The runtime stays small enough to read in one sitting."""

import ast
import io
import tokenize
from pathlib import Path

RUNTIME = Path(__file__).parents[2] / "libs/runtime/src/brightrun/runtime"
LIMIT = 1100


def _lines_of_code(path: Path) -> int:
    """Lines of code, without blank lines, comments and docstrings."""
    text = path.read_text()
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_the_runtime_has_at_most_1100_lines_of_code() -> None:
    assert sum(_lines_of_code(path) for path in RUNTIME.glob("*.py")) <= LIMIT
