"""Reads conversations: which lines are trained on, which are held out."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brightrun.contracts.training import MIN_EXAMPLES_TO_SPLIT, TrainingSpec
from brightrun_trainer.failures import TrainingFailure, UnreadableData

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
OUTPUTS = ("preferred_output", "non_preferred_output")
HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.05, 4, 500


@dataclass(frozen=True, slots=True)
class Conversation:
    """One line of a data set, ready for a chat template.

    `rejected` is what a preference example (for DPO) holds against the last of `messages`, the answer preferred.
    """

    messages: list[dict[str, Any]]
    tools: list[Any] | None
    line: bytes
    rejected: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The lines of a file with the given numbers, counted from 0 without empty ones; all of them if None.

    `pairs`: they are preference examples.
    """

    path: Path
    chosen: frozenset[int] | None = None
    count: int = 0
    pairs: bool = False

    def conversations(self) -> Iterator[Conversation]:
        """Read them one at a time. Raises UnreadableData."""
        for index, conversation in enumerate(read(self.path, self.pairs)):
            if self.chosen is None or index in self.chosen:
                yield conversation


def split(run_dir: Path, spec: TrainingSpec) -> tuple[Source, Source | None]:
    """What to train on and what to hold out, the same for the same data, spec and seed.

    Held out is `validation.jsonl` if there is one, else the spec's share, else 5 % (4 to 500 examples) of a set of at
    least 20. Raises TrainingFailure if the data cannot be read or what the spec needs is missing.
    """
    path = run_dir / "data.jsonl"
    pairs = spec.method == "dpo"
    total = _count(path, pairs)
    validation = run_dir / "validation.jsonl"
    if validation.exists():
        return Source(path, None, total, pairs), Source(validation, None, _count(validation, pairs), pairs)
    held_out = _held_out_count(spec, total)
    if spec.validation_dataset_id or (not held_out and (spec.early_stopping or spec.eval_steps)):
        raise TrainingFailure(
            "validation_missing",
            "The spec asks for evaluations, but there is nothing to evaluate on.",
            "Give a validation data set or a validation_split, or leave eval_steps and early_stopping out.",
        )
    chosen = frozenset(random.Random(spec.seed).sample(range(total), held_out))  # noqa: S311
    trained = Source(path, frozenset(range(total)) - chosen, total - held_out, pairs)
    return trained, Source(path, chosen, held_out, pairs) if held_out else None


def read(path: Path, pairs: bool = False) -> Iterator[Conversation]:
    """The examples of a file in OpenAI's chat format, or its preference format, one a line. Raises UnreadableData."""
    parse = _parse_pair if pairs else _parse
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield parse(line, f"{path.name}, line {number}")
    except FileNotFoundError as error:
        raise UnreadableData(f"{path.name} is missing.") from error


def _count(path: Path, pairs: bool) -> int:
    if total := sum(1 for _ in read(path, pairs)):
        return total
    raise TrainingFailure("data_empty", f"{path.name} holds no example.", "Upload a data set with examples.")


def _held_out_count(spec: TrainingSpec, total: int) -> int:
    if spec.validation_split is not None:
        return min(total - 1, max(1, round(total * spec.validation_split)))
    if total < MIN_EXAMPLES_TO_SPLIT:
        return 0
    return min(HELD_OUT_MOST, max(HELD_OUT_LEAST, round(total * HELD_OUT_SHARE)))


def _parse(line: bytes, where: str) -> Conversation:
    example = _object(line, where)
    messages = example.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UnreadableData(f"{where}: there is no list of messages.")
    return Conversation([_message(message, where) for message in messages], example.get("tools"), line)


def _parse_pair(line: bytes, where: str) -> Conversation:
    example = _object(line, where)
    asked = example.get("input")
    messages = asked.get("messages") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(messages, list) or not messages:
        raise UnreadableData(f"{where}: method dpo needs an input with messages, and two outputs.")
    preferred, rejected = (_answer(example.get(name), name, where) for name in OUTPUTS)
    prompt = [_message(message, where) for message in messages]
    return Conversation([*prompt, preferred], asked.get("tools"), line, rejected)


def _answer(output: Any, name: str, where: str) -> dict[str, Any]:
    if not isinstance(output, list) or len(output) != 1:
        raise UnreadableData(f"{where}: {name} must be a list of one assistant message.")
    answer = _message(output[0], where)
    if answer["role"] != "assistant":
        raise UnreadableData(f"{where}: {name} must be a list of one assistant message.")
    return answer


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        example = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        raise UnreadableData(f"{where}: not JSON.") from error
    return example if isinstance(example, dict) else {}


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise UnreadableData(f"{where}: a message needs a role, one of {', '.join(sorted(ROLES))}.")
    if message.get("weight", 1) not in (0, 1):
        raise UnreadableData(f"{where}: a weight is 0 or 1.")
    return {**message, "content": _text(message.get("content"), where), **_tool_calls(message, where)}


def _text(content: Any, where: str) -> str:
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return "".join(str(part.get("text", "")) for part in content)
    if content is None or isinstance(content, str):
        return content or ""
    raise UnreadableData(f"{where}: the content of a message must be text.")


def _tool_calls(message: dict[str, Any], where: str) -> dict[str, Any]:
    """Chat templates expect a call's arguments as an object, where OpenAI's format has a string of JSON."""
    if not message.get("tool_calls"):
        return {}
    try:
        return {
            "tool_calls": [
                {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
                for call in message["tool_calls"]
            ]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableData(f"{where}: a tool call needs a function with arguments in JSON.") from error
