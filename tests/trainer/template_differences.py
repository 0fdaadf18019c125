"""Run by the trainer's Python: prints texts of conversations that a template ignores although nobody is told.

Random conversations are changed in one text each. The token ids must change, or the loss must be found.
"""

import copy
import json
import random
import sys
from collections.abc import Iterator
from typing import Any

from brightrun_trainer.data.examples import Example
from brightrun_trainer.data.template_losses import CALLS, MESSAGES, NAMES, RESULTS, TOOLS, LossFinder
from brightrun_trainer.data.tokens import Encoder, Unencodable
from brightrun_trainer.model.base_model import load_base
from brightrun_trainer.model.chat_templates import TEMPLATES

CONVERSATIONS = 60
base = load_base("tiny")


def conversation(chance: random.Random) -> tuple[list[Any], list[Any] | None]:
    """Turns of a user and an assistant, some of which call tools; sometimes with a system or developer message."""
    messages: list[Any] = []
    if chance.random() < 0.5:
        messages.append({"role": chance.choice(["system", "developer"]), "content": "Be brief."})
    uses_tools = chance.random() < 0.7
    for turn in range(chance.randint(1, 3)):
        user = {"role": "user", "content": f"Question {turn}?"}
        messages.append(user | ({"name": "alice"} if chance.random() < 0.2 else {}))
        if uses_tools and chance.random() < 0.7:
            function = {"name": "stock", "arguments": {"part": f"p{turn}"}}
            call = {"id": f"call{turn}aaaa", "type": "function", "function": function}
            content = chance.choice(["", "Let me look."])
            messages.append({"role": "assistant", "content": content, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"{turn} left"})
        messages.append({"role": "assistant", "content": f"Answer {turn}."})
    properties = {"part": {"type": "string", "description": "a part's number"}}
    parameters = {"type": "object", "properties": properties}
    function = {"name": "stock", "description": "Looks into the shelf", "parameters": parameters}
    return messages, [{"type": "function", "function": function}] if uses_tools else None


def changes(messages: list[Any], tools: list[Any] | None) -> Iterator[tuple[str, list[Any], list[Any] | None]]:
    """The conversation with one text changed, and what that text is."""
    for index, message in enumerate(messages):
        for key in ("content", "name"):
            if message.get(key):
                changed = copy.deepcopy(messages)
                changed[index][key] += "z"
                kind = NAMES if key == "name" else RESULTS if message["role"] == "tool" else MESSAGES
                yield kind, changed, tools
        if message.get("tool_calls"):
            for part in ({"name": "stocks"}, {"arguments": {"part": "other"}}, {"arguments": {"more": "p0"}}):
                changed = copy.deepcopy(messages)
                changed[index]["tool_calls"][0]["function"] |= part
                yield CALLS, changed, tools
    if tools:
        yield TOOLS, messages, None
        for part in (
            {"name": "stocks"},
            {"description": "Counts"},
            {"parameters": {"type": "object", "properties": {}}},
        ):
            changed_tools = copy.deepcopy(tools)
            changed_tools[0]["function"] |= part
            yield TOOLS, messages, changed_tools


def main() -> None:
    untold, lost = [], {}
    for name, template in {
        **{name: shipped.training for name, shipped in TEMPLATES.items()},
        "tiny": base.chat_template,
    }.items():
        encoder = Encoder(base.tokenizer, template, 4096)
        finder, chance = LossFinder(encoder.render), random.Random(7)  # noqa: S311
        found: set[str] = set()
        for _ in range(CONVERSATIONS):
            messages, tools = conversation(chance)
            example = Example(messages, tools, b"")
            try:
                ids = encoder.encode(example)["input_ids"]
            except Unencodable:
                continue
            told = finder.find(example)
            found |= told
            for kind, changed, changed_tools in changes(messages, tools):
                if encoder.encode(Example(changed, changed_tools, b""))["input_ids"] == ids and kind not in told:
                    untold.append([name, kind, changed])
        lost[name] = sorted(found)
    sys.stdout.write("\n" + json.dumps({"untold": untold, "lost": lost}))


if __name__ == "__main__":
    main()
