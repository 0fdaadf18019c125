"""Encodes examples as token ids and labels: only what the assistant says is learned.

An example longer than the limit keeps its first tokens. It is dropped if no token that could be learned remains.
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
from brightrun_trainer.data.examples import Example, Message
from brightrun_trainer.data.split import Source
from brightrun_trainer.process.failures import UnreadableData

IGNORED = -100
Row = dict[str, list[int]]


@dataclass(slots=True)
class Encoder:
    """Encodes examples and counts those truncated at `limit` tokens and those dropped."""

    tokenizer: PreTrainedTokenizerBase
    chat_template: str
    limit: int
    truncated: int = 0
    dropped: int = 0

    def rows(self, examples: Iterable[Example]) -> Iterator[Row]:
        """The row of each example that is not dropped: ids with labels, and both answers of a preference example."""
        for example in examples:
            row = self.encode(example)
            truncated = len(row["input_ids"]) > self.limit
            row = {name: tokens[: self.limit] for name, tokens in row.items()}
            learned = any(label != IGNORED for label in row["labels"])
            if example.rejected is not None:
                pair, cut = self._encode_pair(example, example.rejected)
                row, truncated = row | pair, truncated or cut
                learned = learned and bool(pair["chosen_ids"]) and pair["chosen_ids"] != pair["rejected_ids"]
            self.truncated += truncated
            self.dropped += not learned
            if learned:
                yield row

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

    def _apply_template(self, messages: list[Message], tools: list[Any] | None, **options: Any) -> Any:
        try:
            return self.tokenizer.apply_chat_template(
                messages, tools=tools, chat_template=self.chat_template, tokenize=True, return_dict=True, **options
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise UnreadableData(f"The chat template rejects a conversation of {roles}: {error}.") from error


def make_dataset(source: Source, encoder: Encoder, cache: Path, progress: Callable[[str], None]) -> Dataset:
    """Encode everything into a memory-mapped file in `cache`, so that memory does not grow with the data.

    Raises UnreadableData.
    """

    def generate() -> Iterator[Row]:
        reported = time.monotonic()
        for done, example in enumerate(source.examples(), start=1):
            yield from encoder.rows([example])
            if time.monotonic() - reported >= 1:
                progress(f"{done:,} of {source.count:,} conversations")
                reported = time.monotonic()

    # A random fingerprint: hashing the tokenizer takes longer than encoding a small data set.
    return Dataset.from_generator(generate, cache_dir=str(cache), fingerprint=new_id().hex)


def _without_weight_0(mask: list[int], example: Example) -> list[bool]:
    """The mask without assistant messages of weight 0; each run of marked tokens is one message."""
    assistants = [message for message in example.messages if message["role"] == "assistant"]
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
