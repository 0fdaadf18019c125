"""Base model against adapter on the held-out examples: measured, and heard."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from peft import PeftModel

from brightrun_trainer.data import Conversation, Source
from brightrun_trainer.evaluation import Measured, margins, measure
from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.generation import Sampling, encode_prompt, say
from brightrun_trainer.model import Base
from brightrun_trainer.preparation import Prepared
from brightrun_trainer.reporting import Reporter
from brightrun_trainer.stop import StopRequested, StopSignal

FINISH_SECONDS = 30.0
SAMPLES = 3
SAMPLE_TOKENS = 120
SECONDS_A_SAMPLE = 20.0
SECONDS_FOR_SAMPLES = 45.0
MAX_TEXT_LENGTH = 2000
"""Characters of each text of a sample; the manifest is not the place for books."""


def evaluate(model: PeftModel, prepared: Prepared, reporter: Reporter, stop: StopSignal) -> dict[str, Any]:
    """The manifest's `comparison` and `samples`, as far as they are there.

    Nothing if nothing is held out or the run shall stop; what is not done in time is left out if it shall finish.
    """
    rows, held_out = prepared.held_out, prepared.task.held_out
    if rows is None or held_out is None or stop.requested:
        return {}
    began = time.monotonic()

    def goes_on() -> bool:
        return not (stop.requested or (stop.finishing and time.monotonic() - began > FINISH_SECONDS))

    def check() -> None:
        if not goes_on():
            raise StopRequested

    reporter.stage("evaluating", f"base model against adapter on {len(rows):,} held-out examples")
    try:
        told: dict[str, Any] = {"comparison": compare(model, rows, prepared.base.tokenizer.pad_token_id, check)}
    except StopRequested:
        return {}
    reporter.stage("evaluating", "sample answers")
    return told | {"samples": sample(model, prepared.base, held_out, goes_on)}


def compare(model: PeftModel, rows: Dataset, pad_token_id: int, between: Callable[[], None]) -> dict[str, Any]:
    """The manifest's `comparison`: losses, perplexities and token accuracies of both on encoded held-out examples.

    Of pairs of answers also how often each finds the preferred one likelier, and how often the adapter's leaning
    towards it is stronger than the base model's (`reward_accuracy`, what DPO trains). `between` is called before each
    batch and may raise.
    """
    adapter = measure(model, rows, pad_token_id, between)
    pairs = "rejected_ids" in rows.column_names
    leanings = margins(model, rows, pad_token_id, between) if pairs else []
    with model.disable_adapter():
        base = measure(model, rows, pad_token_id, between)
        base_leanings = margins(model, rows, pad_token_id, between) if pairs else []
    told = {"examples": len(rows), "tokens": adapter.tokens, **_told("base", base), **_told("adapter", adapter)}
    if pairs:
        moved = [one - before for one, before in zip(leanings, base_leanings, strict=True)]
        told |= {
            "base_preference_accuracy": _share_above_0(base_leanings),
            "adapter_preference_accuracy": _share_above_0(leanings),
            "reward_accuracy": _share_above_0(moved),
        }
    return told


def _told(name: str, measured: Measured) -> dict[str, Any]:
    return {
        f"{name}_loss": measured.loss,
        f"{name}_perplexity": measured.perplexity,
        f"{name}_token_accuracy": measured.token_accuracy,
    }


def _share_above_0(numbers: Sequence[float]) -> float:
    return sum(number > 0 for number in numbers) / len(numbers)


def sample(model: PeftModel, base: Base, held_out: Source, goes_on: Callable[[], bool]) -> list[dict[str, Any]]:
    """The manifest's `samples`: what both answer to a few held-out conversations, and what was expected.

    They are spread over the examples. Fewer come if `goes_on` says no or the time is up.
    """
    began = time.monotonic()
    samples: list[dict[str, Any]] = []
    for conversation in spread(held_out, SAMPLES):
        if not goes_on() or time.monotonic() - began > SECONDS_FOR_SAMPLES:
            break
        if told := _answered(model, base, conversation, goes_on):
            samples.append(told)
    return samples


def spread(source: Source, wanted: int) -> Sequence[Conversation]:
    """At most `wanted` conversations, evenly spread over the source."""
    count = source.count or sum(1 for _ in source.conversations())
    chosen = {number * count // wanted for number in range(wanted)}
    return [one for number, one in enumerate(source.conversations()) if number in chosen]


def opening(conversation: Conversation) -> tuple[list[dict[str, Any]], str] | None:
    """The messages before the assistant's last, and what it says there; None if nobody speaks before it."""
    messages = conversation.messages
    spoken = [
        number for number, message in enumerate(messages) if message["role"] == "assistant" and message["content"]
    ]
    if not spoken or spoken[-1] == 0:
        return None
    return messages[: spoken[-1]], str(messages[spoken[-1]]["content"])


def _answered(
    model: PeftModel, base: Base, conversation: Conversation, goes_on: Callable[[], bool]
) -> dict[str, Any] | None:
    if (opened := opening(conversation)) is None:
        return None
    messages, expected = opened
    sampling = Sampling(SAMPLE_TOKENS, seconds=SECONDS_A_SAMPLE)
    try:
        prompt = encode_prompt(base.tokenizer, messages, base.context - SAMPLE_TOKENS, conversation.tools)
    except TrainingFailure:
        return None
    said = say(model, base.tokenizer, prompt, ("base", "adapter"), sampling, goes_on=goes_on)
    return {
        "messages": [{"role": message["role"], "content": _shortened(str(message["content"]))} for message in messages],
        "expected": _shortened(expected),
        "base": said["base"].text,
        "adapter": said["adapter"].text,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"
