"""Encodes examples as token ids and labels: only what the assistant says is learned.

An example longer than the limit keeps its first tokens. It is dropped if no token that could be learned remains.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset
from datasets.exceptions import DatasetGenerationError
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from brightrun.contracts.values import new_id
from brightrun_trainer.data.examples import Example, Message
from brightrun_trainer.data.split import Source
from brightrun_trainer.data.template_losses import LossFinder
from brightrun_trainer.process.failures import TrainingFailure

IGNORED = -100
MAX_POSITIONS = 10
Row = dict[str, list[int]]


class Unencodable(Exception):
    """An example cannot be encoded; `code` and `advice` are those of the failure that its line becomes."""

    def __init__(self, code: str, message: str, advice: str) -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice


@dataclass(slots=True)
class Affected:
    """How many examples something happened to, and the indices of the first ones in their file."""

    count: int = 0
    indices: list[int] = field(default_factory=list)

    def add(self, index: int) -> None:
        self.count += 1
        if len(self.indices) < MAX_POSITIONS:
            self.indices.append(index)


@dataclass(frozen=True, slots=True)
class EncodedSet:
    """The rows of a set, without the `dropped` examples, of which nothing is learned. `truncated` lost tokens.

    `lost`: what the chat template left out, by kind.
    """

    source: Source
    rows: Dataset
    truncated: Affected
    dropped: Affected
    lost: Mapping[str, Affected]

    def describe(self, limit: int) -> Iterator[str]:
        """A sentence for each thing that is not learned as it was written, with its examples' lines."""
        for affected, what in (
            (self.dropped, f"are not used: nothing is left to learn within {limit:,} tokens"),
            (self.truncated, f"are longer than {limit:,} tokens and lose their end"),
            *((affected, f"have {kind} that the chat template leaves out") for kind, affected in self.lost.items()),
        ):
            if affected.count:
                yield f"{self.say(affected, what)}."

    def say(self, affected: Affected, what: str) -> str:
        """`3 of 9 training examples WHAT (data.jsonl, lines 2, 3, 5)`, with the lines of the first ones."""
        numbers = ", ".join(map(str, self.source.line_numbers(affected.indices)))
        more = " …" if affected.count > len(affected.indices) else ""
        examples = f"{affected.count:,} of {self.source.count:,} {self.source.role} examples"
        return f"{examples} {what} ({self.source.path.name}, lines {numbers}{more})"


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes examples of at most `limit` tokens."""

    tokenizer: PreTrainedTokenizerBase
    chat_template: str
    limit: int

    def row(self, example: Example) -> tuple[Row | None, bool]:
        """Ids with labels, and both answers of a preference example; None if nothing is learned. Whether it was cut.

        Raises Unencodable.
        """
        row = self.encode(example)
        truncated = len(row["input_ids"]) > self.limit
        row = {name: tokens[: self.limit] for name, tokens in row.items()}
        learned = any(label != IGNORED for label in row["labels"])
        if example.rejected is not None:
            pair, cut = self._encode_pair(example, example.rejected)
            row, truncated = row | pair, truncated or cut
            learned = learned and bool(pair["chosen_ids"]) and pair["chosen_ids"] != pair["rejected_ids"]
        return row if learned else None, truncated

    def encode(self, example: Example) -> Row:
        """One whole conversation; labels are -100 except for tokens of assistant messages whose weight is not 0."""
        encoded = self._apply_template(example.messages, example.tools, return_assistant_tokens_mask=True)
        ids: list[int] = encoded["input_ids"]
        mask = _without_weight_0(encoded["assistant_masks"], example)
        labels = [token if learned else IGNORED for token, learned in zip(ids, mask, strict=True)]
        return {"input_ids": ids, "labels": labels}

    def _encode_pair(self, example: Example, rejected: Message) -> tuple[Row, bool]:
        """Prompt and both answers as TRL's DPOTrainer expects them, and whether one of them was truncated.

        An answer starts where the two differ from the prompt: a template may render a prompt alone in another way.
        """
        tools, prompt = example.tools, example.messages[:-1]
        prompt_ids = self._apply_template(prompt, tools, add_generation_prompt=True)["input_ids"]
        whole = [
            self._apply_template([*prompt, answer], tools)["input_ids"] for answer in (example.messages[-1], rejected)
        ]
        start = min(common_prefix_length(prompt_ids, ids) for ids in whole)
        chosen, other = (ids[start : self.limit] for ids in whole)
        truncated = any(len(ids) > self.limit for ids in whole)
        return {"prompt_ids": prompt_ids[:start], "chosen_ids": chosen, "rejected_ids": other}, truncated

    def render(self, messages: list[Message], tools: list[Any] | None) -> str:
        """The text of a conversation."""
        return str(
            self.tokenizer.apply_chat_template(messages, tools=tools, chat_template=self.chat_template, tokenize=False)
        )

    def _apply_template(self, messages: list[Message], tools: list[Any] | None, **options: Any) -> Any:
        try:
            return self.tokenizer.apply_chat_template(
                messages, tools=tools, chat_template=self.chat_template, tokenize=True, return_dict=True, **options
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise Unencodable(
                "conversation_refused",
                f"the chat template rejects a conversation of {roles} ({error})",
                "Change or remove such conversations, or set chat_template: plain takes every conversation.",
            ) from error


def make_dataset(source: Source, encoder: Encoder, cache: Path, progress: Callable[[str], None]) -> EncodedSet:
    """Encode everything into a memory-mapped file in `cache`, so that memory does not grow with the data.

    Raises TrainingFailure, also if nothing remains to be learned.
    """
    truncated, dropped, lost = Affected(), Affected(), defaultdict[str, Affected](Affected)
    finder = LossFinder(encoder.render)

    def generate() -> Iterator[Row]:
        reported = time.monotonic()
        for done, (index, example) in enumerate(source.indexed_examples(), start=1):
            try:
                row, cut = encoder.row(example)
            except Unencodable as error:
                raise _at_line(source, index, error) from error
            for kind in finder.find(example):
                lost[kind].add(index)
            if cut:
                truncated.add(index)
            if row is None:
                dropped.add(index)
            else:
                yield row
            if time.monotonic() - reported >= 1:
                progress(f"{done:,} of {source.count:,} conversations")
                reported = time.monotonic()

    try:
        # A random fingerprint: hashing the tokenizer takes longer than encoding a small data set.
        rows = Dataset.from_generator(generate, cache_dir=str(cache), fingerprint=new_id().hex)
    except DatasetGenerationError:  # a file without rows cannot be written
        if dropped.count < source.count:
            raise
        raise _nothing_left(source, encoder.limit, truncated.count) from None
    return EncodedSet(source, rows, truncated, dropped, dict(sorted(lost.items())))


def _at_line(source: Source, index: int, error: Unencodable) -> TrainingFailure:
    (line,) = source.line_numbers({index})
    return TrainingFailure(error.code, f"{source.path.name}, line {line}: {error}.", error.advice)


def _nothing_left(source: Source, limit: int, truncated: int) -> TrainingFailure:
    what, lack = ("pairs", "two answers that differ") if source.pairs else ("examples", "an answer to learn from")
    return TrainingFailure(
        "data_empty",
        f"Nothing is left of the {source.count:,} {source.role} {what}: "
        f"{truncated:,} are longer than {limit:,} tokens, and none has {lack} within them.",
        "Raise max_length, shorten the prompts, or give assistant messages a weight of 1."
        if source.role == "training"
        else "Raise max_length, shorten the prompts, or choose other validation examples.",
    )


def _without_weight_0(mask: list[int], example: Example) -> list[bool]:
    """The mask without assistant messages of weight 0; each run of marked tokens is one message."""
    assistants = [message for message in example.messages if message["role"] == "assistant"]
    if all(message.get("weight", 1) for message in assistants):
        return [bool(marked) for marked in mask]
    runs = [(marked, len(list(tokens))) for marked, tokens in groupby(mask)]
    if sum(marked for marked, _ in runs) != len(assistants):
        raise Unencodable(
            "weight_unsupported",
            "the chat template joins assistant messages, so that weight 0 cannot be kept",
            "Leave the weight out, or set chat_template: plain keeps the messages apart.",
        )
    weights = iter(assistants)
    learned: list[bool] = []
    for marked, length in runs:
        learned += [bool(marked and next(weights).get("weight", 1))] * length
    return learned
