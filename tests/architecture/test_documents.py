"""The documents' links lead somewhere, and the requests and commands that they show exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks/README.md"])
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
PATHS = json.loads((ROOT / "tests/contracts/golden/openapi/api.json").read_text())["paths"]
MAX_README_LINES = 150
MAX_DECISION_LINES = 40


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_to_a_file_and_a_heading(name: str) -> None:
    broken = [link for link in _links(_prose(ROOT / name)) if not _exists(ROOT / name, link)]

    assert not broken


@pytest.mark.parametrize("name", NAMES)
def test_every_request_in_a_document_is_in_the_api(name: str) -> None:
    unknown = {request for request in _requests((ROOT / name).read_text()) if not _is_route(*request)}

    assert not unknown


@pytest.mark.parametrize("name", NAMES)
def test_every_command_in_a_document_exists(name: str) -> None:
    code = "\n".join(re.findall(r"^```sh\n.*?^```|`[^`\n]+`", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z-]+)\b", code)) <= targets
    assert not [module for module in re.findall(r"\bpython3? -m ([\w.]+)", code) if not _is_module(module)]


def test_the_readme_and_the_decisions_are_short() -> None:
    long = [path.name for path in ROOT.glob("docs/decisions/*.md") if _lines(path) > MAX_DECISION_LINES]

    assert _lines(ROOT / "README.md") <= MAX_README_LINES
    assert not long


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _prose(path: Path) -> str:
    """The text without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def _links(text: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+:", link)]


def _exists(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.+)$", _prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _requests(text: str) -> Iterator[tuple[str, str]]:
    """Method and path of each `curl … $api/…` and of each `METHOD /api/…` in the text."""
    for command in re.findall(r"curl (?:[^\n]|\n(?!.*curl )(?!```))*", text):
        if url := re.search(r"\$api(/[^\s\"']+)", command):
            method = re.search(r"-X (\w+)", command)
            sends = re.search(r" (-d|--data-binary) ", command)
            yield method[1] if method else "POST" if sends else "GET", "/api" + url[1].split("?")[0]
    for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/api/[^\s`?]+)", text):
        yield method, path


def _is_module(name: str) -> bool:
    path = name.replace(".", "/")
    folders = [ROOT, *ROOT.glob("*/src"), *ROOT.glob("*/*/src")]
    return any((folder / f"{path}.py").exists() or (folder / path).is_dir() for folder in folders)


def _is_route(method: str, path: str) -> bool:
    """Whether the API has it. A name of a base model may hold a slash."""
    templates = [template for template, operations in PATHS.items() if method.lower() in operations]
    patterns = [
        re.sub(r"\{\w+\}", "[^/]+", template.replace("base-models/{name}", "base-models/.+")) for template in templates
    ]
    return any(re.fullmatch(pattern, path) for pattern in patterns)
