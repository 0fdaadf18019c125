"""Text to pretrain the offline base models on: the documentation that ships with every Python."""

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

Chat = list[dict[str, str]]
MAX_ANSWER = 700
QUESTIONS = (
    "What does {name} do?",
    "Can you explain {name}?",
    "How do I use {name} from {module}?",
    "Hello, I have a question about {name}.",
    "Please tell me about {module}.{name}.",
)


def prose() -> list[str]:
    """The language reference as plain paragraphs without markup, in a fixed order."""
    paragraphs: list[str] = []
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            text = re.sub(r"[*`]+", "", " ".join(paragraph.split()))
            if len(text) > 80 and text.count(" ") > 12:
                paragraphs.append(text)
    return paragraphs


def chats() -> list[Chat]:
    """The standard library's docstrings as questions and answers, in a fixed order."""
    pairs: list[Chat] = []
    for module, name, text in _docstrings():
        question = QUESTIONS[len(pairs) % len(QUESTIONS)].format(name=name, module=module)
        pairs.append([{"role": "user", "content": question}, {"role": "assistant", "content": text}])
    return pairs


def _docstrings() -> Iterator[tuple[str, str, str]]:
    """Each documented function or class of the top-level modules as (module, name, first paragraphs)."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                text = " ".join((ast.get_docstring(node) or "").split())[:MAX_ANSWER]
                if len(text) > 60:
                    yield path.stem, node.name, text
