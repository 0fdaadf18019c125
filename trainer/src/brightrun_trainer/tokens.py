"""Turns conversations into token ids and labels: only what the assistant says is learned."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from brightrun.contracts.values import new_id
from brightrun_trainer.data import Conversation, Source
from brightrun_trainer.failures import UnreadableData

IGNORED = -100
Row = dict[str, list[int]]


@dataclass(slots=True)
class Encoder:
    """Encodes conversations and counts those cut at `limit` tokens and those left with nothing to learn."""

    tokenizer: PreTrainedTokenizerBase
    chat_template: str
    limit: int
    truncated: int = 0
    dropped: int = 0

    def rows(self, conversations: Iterable[Conversation]) -> Iterator[Row]:
        """Ids with labels, for each conversation that has something to learn."""
        for conversation in conversations:
            row = self.encode(conversation)
            self.truncated += len(row["input_ids"]) > self.limit
            row = {name: tokens[: self.limit] for name, tokens in row.items()}
            if any(label != IGNORED for label in row["labels"]):
                yield row
            else:
                self.dropped += 1

    def encode(self, conversation: Conversation) -> Row:
        """One whole conversation; labels are -100 but for the tokens of assistant messages whose weight is not 0."""
        encoded = self._apply_template(conversation)
        ids: list[int] = encoded["input_ids"]
        mask = _without_weight_0(encoded["assistant_masks"], conversation)
        return {
            "input_ids": ids,
            "labels": [token if learned else IGNORED for token, learned in zip(ids, mask, strict=True)],
        }

    def _apply_template(self, conversation: Conversation) -> Any:
        try:
            return self.tokenizer.apply_chat_template(
                conversation.messages,
                tools=conversation.tools,
                chat_template=self.chat_template,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in conversation.messages)
            raise UnreadableData(
                f"The base model's chat template refuses a conversation of {roles}: {error}."
            ) from error


def make_dataset(source: Source, encoder: Encoder, cache: Path, progress: Callable[[str], None]) -> Dataset:
    """Encode everything into a memory-mapped file in `cache`, so that the data's size does not matter.

    Raises UnreadableData.
    """

    def generate() -> Iterator[Row]:
        yield from encoder.rows(_shown(source, progress))

    # A fingerprint of its own: hashing the tokenizer takes longer than encoding a small data set.
    return Dataset.from_generator(generate, cache_dir=str(cache), fingerprint=new_id().hex)


def _shown(source: Source, progress: Callable[[str], None]) -> Iterator[Conversation]:
    shown = time.monotonic()
    for done, conversation in enumerate(source.conversations(), start=1):
        yield conversation
        if time.monotonic() - shown >= 1:
            progress(f"{done:,} of {source.count:,} conversations")
            shown = time.monotonic()


def _without_weight_0(mask: list[int], conversation: Conversation) -> list[bool]:
    """The mask less the spans of assistant messages of weight 0; each run of marked tokens is one message."""
    assistants = [message for message in conversation.messages if message["role"] == "assistant"]
    if all(message.get("weight", 1) for message in assistants):
        return [bool(marked) for marked in mask]
    runs = [(marked, len(list(tokens))) for marked, tokens in groupby(mask)]
    if sum(marked for marked, _ in runs) != len(assistants):
        raise UnreadableData(
            "The chat template of this base model joins assistant messages, so weight 0 cannot be kept."
        )
    weights = iter(assistants)
    learned: list[bool] = []
    for marked, length in runs:
        learned += [bool(marked and next(weights).get("weight", 1))] * length
    return learned
