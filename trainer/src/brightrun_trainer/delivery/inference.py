"""Answers of base model and adapter to a conversation, side by side in one batch and streamed token by token."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jinja2 import TemplateError
from peft import PeftModel
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from brightrun.contracts.generation import Generate, Side
from brightrun_trainer.model.base_model import context_of, load_files
from brightrun_trainer.model.stop_tokens import stop_tokens
from brightrun_trainer.process.failures import TrainingFailure

ADAPTERS: dict[Side, str] = {"base": "__base__", "adapter": "default"}
"""PEFT's names; `__base__` stands for rows of a batch without an adapter."""
INCOMPLETE = "\ufffd"
"""Decoded in place of a character of which some bytes are missing."""

OnText = Callable[[Side, str], None]
"""Called with each new piece of text of a side."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; temperature 0 takes the likeliest. `seconds` limits the time of the whole answer."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer of one side, its length in tokens, and why it ended."""

    text: str
    tokens: int
    reason: Literal["stop", "length", "time"]


class AdapterModel:
    """A delivered adapter on its base model, with the tokenizer and the chat template that came with it."""

    def __init__(self, folder: Path, base_name: str, revision: str | None = None) -> None:
        """Raises TrainingFailure if the adapter or its base model is missing."""
        tokenizer, base = load_files(base_name, revision)
        if not (folder / "adapter_config.json").is_file():
            raise TrainingFailure(
                "adapter_missing", "The adapter's files do not exist any more.", "Train the model again."
            )
        self._context = context_of(base, tokenizer)
        self._model = PeftModel.from_pretrained(base, str(folder))
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder))

    def answer(self, request: Generate, seconds: float, on_text: OnText) -> tuple[int, dict[Side, Completion]]:
        """The prompt's length in tokens, and the completion of each side. Raises TrainingFailure."""
        messages = [message.model_dump() for message in request.messages]
        prompt = encode_prompt(self._tokenizer, messages, self._context - request.max_tokens)
        sampling = Sampling(request.max_tokens, request.temperature, request.top_p, request.seed, seconds)
        sides = tuple(dict.fromkeys(request.sides))
        completions = complete(self._model, self._tokenizer, prompt, sides, sampling, on_text=on_text)
        return prompt.shape[1], completions


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]], max_tokens: int, tools: Any = None
) -> torch.Tensor:
    """The ids of a conversation that the assistant is to answer, as a batch of one.

    Raises TrainingFailure if they are more than `max_tokens` or the chat template rejects the conversation.
    """
    try:
        encoded: Any = tokenizer.apply_chat_template(
            list(messages), tools=tools, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
    except TemplateError as error:
        raise TrainingFailure(
            "conversation_refused",
            f"The base model's chat template rejects this conversation: {error}.",
            "Let user and assistant take turns, and put a system message first or leave it out.",
        ) from error
    ids: torch.Tensor = encoded["input_ids"]
    if ids.shape[1] > max_tokens:
        raise TrainingFailure(
            "prompt_too_long",
            f"The conversation has {ids.shape[1]:,} tokens; {max(max_tokens, 0):,} fit beside the answer.",
            "Shorten it, or ask for a shorter answer with max_tokens.",
        )
    return ids


@torch.no_grad()
def complete(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: torch.Tensor,
    sides: Sequence[Side],
    sampling: Sampling,
    *,
    on_text: OnText = lambda _side, _text: None,
    may_continue: Callable[[], bool] = lambda: True,
) -> dict[Side, Completion]:
    """Let the sides answer `prompt` together; ends early when `may_continue` returns False."""
    model.eval()
    if sampling.seed is not None:
        torch.manual_seed(sampling.seed)
    ends = stop_tokens(tokenizer, cast("PreTrainedModel", model))
    streamer = _Streamer(tokenizer, sides, ends, on_text)
    deadline = _Deadline(sampling.seconds, may_continue)
    rows = prompt.repeat(len(sides), 1).to(model.device)
    # The model's own generation config may differ, so that everything is set here.
    greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    random = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    model.generate(
        input_ids=rows,
        attention_mask=torch.ones_like(rows),
        adapter_names=[ADAPTERS[side] for side in sides],
        streamer=streamer,
        stopping_criteria=StoppingCriteriaList([deadline]),
        max_new_tokens=sampling.max_tokens,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends),
        use_cache=True,
        **(greedy if sampling.temperature == 0 else random),
    )
    unfinished: Literal["time", "length"] = "time" if deadline.passed else "length"
    return {
        side: Completion(
            streamer.texts[row], len(streamer.tokens[row]), "stop" if streamer.stopped[row] else unfinished
        )
        for row, side in enumerate(sides)
    }


class _Streamer(BaseStreamer):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """Receives one token a row at a time and passes on the text of each row up to its last complete character."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, sides: Sequence[Side], ends: set[int], on_text: OnText
    ) -> None:
        self._tokenizer = tokenizer
        self._sides = sides
        self._ends = ends
        self._on_text = on_text
        self._prompt_received = False
        self.tokens: list[list[int]] = [[] for _ in sides]
        self.texts = ["" for _ in sides]
        self.stopped = [False for _ in sides]

    def put(self, value: torch.Tensor) -> None:
        """The prompt first, then the next token of each row."""
        if not self._prompt_received:
            self._prompt_received = True
            return
        for row, token in enumerate(value.flatten().tolist()):
            if self.stopped[row]:
                continue
            if token in self._ends:
                self.stopped[row] = True
            else:
                self.tokens[row].append(token)
            self._decode(row, last=self.stopped[row])

    def end(self) -> None:
        """The rest of each row, complete or not."""
        for row, stopped in enumerate(self.stopped):
            if not stopped:
                self._decode(row, last=True)

    def _decode(self, row: int, last: bool) -> None:
        text = str(self._tokenizer.decode(self.tokens[row], skip_special_tokens=True))
        if text.endswith(INCOMPLETE) and not last:
            return
        new, self.texts[row] = text[len(self.texts[row]) :], text
        if new:
            self._on_text(self._sides[row], new)


class _Deadline(StoppingCriteria):
    """Ends a generation whose time is up, or when `may_continue` returns False."""

    def __init__(self, seconds: float, may_continue: Callable[[], bool]) -> None:
        self._deadline = time.monotonic() + seconds
        self._may_continue = may_continue
        self.passed = False

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.passed = time.monotonic() > self._deadline or not self._may_continue()
        return torch.full((input_ids.shape[0],), self.passed, dtype=torch.bool, device=input_ids.device)
