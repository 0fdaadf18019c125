"""Turns conversations into token ids and labels: only what the assistant says is learned.

What is longer than the limit keeps its first tokens and loses the rest; an example is left out if nothing that could
be learned remains.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

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
        """Each conversation that has something to learn: ids with labels, and both answers of a preference example."""
        for conversation in conversations:
            row = self.encode(conversation)
            long = len(row["input_ids"]) > self.limit
            row = {name: tokens[: self.limit] for name, tokens in row.items()}
            learns = any(label != IGNORED for label in row["labels"])
            if conversation.rejected is not None:
                pair, cut = self._pair(conversation, conversation.rejected)
                row, long = row | pair, long or cut
                learns = learns and bool(pair["chosen_ids"]) and pair["chosen_ids"] != pair["rejected_ids"]
            self.truncated += long
            self.dropped += not learns
            if learns:
                yield row

    def encode(self, conversation: Conversation) -> Row:
        """One whole conversation; labels are -100 but for the tokens of assistant messages whose weight is not 0."""
        encoded = self._apply_template(conversation.messages, conversation.tools, return_assistant_tokens_mask=True)
        ids: list[int] = encoded["input_ids"]
        mask = _without_weight_0(encoded["assistant_masks"], conversation)
        return {
            "input_ids": ids,
            "labels": [token if learned else IGNORED for token, learned in zip(ids, mask, strict=True)],
        }

    def _pair(self, conversation: Conversation, rejected: dict[str, Any]) -> tuple[Row, bool]:
        """Prompt and both answers as TRL's DPOTrainer takes them, and whether one of them was cut.

        An answer starts where the two differ from the prompt: a template may render a prompt alone in another way.
        """
        tools, prompt = conversation.tools, conversation.messages[:-1]
        asked = self._apply_template(prompt, tools, add_generation_prompt=True)["input_ids"]
        answered = [
            self._apply_template([*prompt, answer], tools)["input_ids"]
            for answer in (conversation.messages[-1], rejected)
        ]
        start = min(common_prefix_length(asked, ids) for ids in answered)
        chosen, other = (ids[start : self.limit] for ids in answered)
        cut = any(len(ids) > self.limit for ids in answered)
        return {"prompt_ids": asked[:start], "chosen_ids": chosen, "rejected_ids": other}, cut

    def _apply_template(self, messages: list[dict[str, Any]], tools: list[Any] | None, **options: Any) -> Any:
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                tools=tools,
                chat_template=self.chat_template,
                tokenize=True,
                return_dict=True,
                **options,
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise UnreadableData(f"The chat template refuses a conversation of {roles}: {error}.") from error


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
