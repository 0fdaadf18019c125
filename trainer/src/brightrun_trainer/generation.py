"""What base model and adapter say to a conversation: side by side in one batch, told token by token."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jinja2 import TemplateError
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from brightrun.contracts.generation import Side
from brightrun_trainer.failures import TrainingFailure

ADAPTERS: dict[Side, str] = {"base": "__base__", "adapter": "default"}
"""PEFT's names; `__base__` is the row of a batch that no adapter touches."""
_TURN = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
BROKEN = "\ufffd"
"""Where a character's bytes are not all there yet."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; temperature 0 takes the likeliest. `seconds` is the longest that it may take."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Saying:
    """What one side said in how many tokens, and why it ended there."""

    text: str
    tokens: int
    reason: Literal["stop", "length", "time"]


class Streamer(BaseStreamer):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """Hears a batch grow by one token a row and tells the text of each row as far as its characters are whole."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        sides: Sequence[Side],
        ends: set[int],
        tell: Callable[[Side, str], None],
    ) -> None:
        self._tokenizer = tokenizer
        self._sides = sides
        self._ends = ends
        self._tell = tell
        self._prompt_heard = False
        self.tokens: list[list[int]] = [[] for _ in sides]
        self.texts = ["" for _ in sides]
        self.stopped = [False for _ in sides]

    def put(self, value: torch.Tensor) -> None:
        """The prompt first, then the next token of each row."""
        if not self._prompt_heard:
            self._prompt_heard = True
            return
        for row, token in enumerate(value.flatten().tolist()):
            if self.stopped[row]:
                continue
            if token in self._ends:
                self.stopped[row] = True
            else:
                self.tokens[row].append(token)
            self._tell_row(row, last=self.stopped[row])

    def end(self) -> None:
        """What is left of each row, whole or not."""
        for row, stopped in enumerate(self.stopped):
            if not stopped:
                self._tell_row(row, last=True)

    def _tell_row(self, row: int, last: bool) -> None:
        text = str(self._tokenizer.decode(self.tokens[row], skip_special_tokens=True))
        if text.endswith(BROKEN) and not last:
            return
        new, self.texts[row] = text[len(self.texts[row]) :], text
        if new:
            self._tell(self._sides[row], new)


class _Until(StoppingCriteria):
    """Ends a generation whose time is up, or that nobody waits for any more."""

    def __init__(self, seconds: float, goes_on: Callable[[], bool]) -> None:
        self._ends = time.monotonic() + seconds
        self._goes_on = goes_on
        self.cut = False

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.cut = time.monotonic() > self._ends or not self._goes_on()
        return torch.full((input_ids.shape[0],), self.cut, dtype=torch.bool, device=input_ids.device)


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]], room: int, tools: Any = None
) -> torch.Tensor:
    """The ids of a conversation that the assistant is to go on with, as a batch of one.

    Raises TrainingFailure if they are more than `room` or the chat template refuses the conversation.
    """
    try:
        encoded: Any = tokenizer.apply_chat_template(
            list(messages), tools=tools, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
    except TemplateError as error:
        raise TrainingFailure(
            "conversation_refused",
            f"The base model's chat template refuses this conversation: {error}.",
            "Let user and assistant take turns, and put a system message first or leave it out.",
        ) from error
    ids: torch.Tensor = encoded["input_ids"]
    if ids.shape[1] > room:
        raise TrainingFailure(
            "prompt_too_long",
            f"The conversation has {ids.shape[1]:,} tokens, and there is room for {max(room, 0):,} beside the answer.",
            "Shorten it, or ask for a shorter answer with max_tokens.",
        )
    return ids


@torch.no_grad()
def say(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: torch.Tensor,
    sides: Sequence[Side],
    sampling: Sampling,
    *,
    tell: Callable[[Side, str], None] = lambda _side, _text: None,
    goes_on: Callable[[], bool] = lambda: True,
) -> dict[Side, Saying]:
    """Let the sides answer `prompt` at once, telling each piece of text as it comes."""
    model.eval()
    if sampling.seed is not None:
        torch.manual_seed(sampling.seed)
    ends = _end_tokens(model, tokenizer)
    streamer = Streamer(tokenizer, sides, ends, tell)
    until = _Until(sampling.seconds, goes_on)
    rows = prompt.repeat(len(sides), 1).to(model.device)
    model.generate(
        input_ids=rows,
        attention_mask=torch.ones_like(rows),
        adapter_names=[ADAPTERS[side] for side in sides],
        streamer=streamer,
        stopping_criteria=StoppingCriteriaList([until]),
        max_new_tokens=sampling.max_tokens,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends),
        use_cache=True,
        **_choice(sampling),
    )
    return {
        side: Saying(
            text=streamer.texts[row],
            tokens=len(streamer.tokens[row]),
            reason="stop" if streamer.stopped[row] else "time" if until.cut else "length",
        )
        for row, side in enumerate(sides)
    }


def _choice(sampling: Sampling) -> dict[str, Any]:
    """The model's own generation config may say otherwise, so that everything is said here."""
    if sampling.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}


def _end_tokens(model: PeftModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """What ends an answer: to the model, to its tokenizer, and in the chat template, which may be another model's."""
    told = model.generation_config.eos_token_id if model.generation_config else None
    listed = told if isinstance(told, list) else [told]
    ends = {token for token in [*listed, tokenizer.eos_token_id] if isinstance(token, int)}
    turn: Any = tokenizer.apply_chat_template(_TURN, tokenize=True, return_dict=True)
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    after = [token for token in turn["input_ids"][::-1] if token in special]
    return ends | set(after[:1])
