"""Base model against adapter on the held-out examples: figures and sample answers."""

import time
from collections.abc import Callable, Iterable
from operator import sub
from statistics import fmean
from typing import Any

from datasets import Dataset
from peft import PeftModel

from brightrun_trainer.data.examples import Example
from brightrun_trainer.data.preparation import Prepared
from brightrun_trainer.data.split import Source
from brightrun_trainer.delivery.evaluation import evaluate, fall_interval
from brightrun_trainer.delivery.inference import Sampling, complete, encode_prompt
from brightrun_trainer.model.base_model import LoadedModel
from brightrun_trainer.process.failures import TrainingFailure
from brightrun_trainer.process.reporting import Reporter
from brightrun_trainer.process.stop import StopRequested, StopSignal

FINISH_SECONDS = 30.0
SAMPLES = 3
SAMPLE_TOKENS = 120
MAX_SAMPLE_SECONDS = 20.0
MAX_SAMPLES_SECONDS = 45.0
MAX_TEXT_LENGTH = 2000
"""Characters of each text of a sample in the manifest."""


def compare_held_out(model: PeftModel, prepared: Prepared, reporter: Reporter, stop: StopSignal) -> dict[str, Any]:
    """The manifest's `comparison` and `samples`; without what a stop, or a finish that takes too long, leaves out."""
    rows, held_out = prepared.held_out, prepared.task.held_out
    if rows is None or held_out is None or stop.requested:
        return {}
    began = time.monotonic()

    def may_continue() -> bool:
        return not (stop.requested or (stop.finishing and time.monotonic() - began > FINISH_SECONDS))

    reporter.stage("evaluating", f"base model against adapter on {len(rows):,} held-out examples")
    try:
        comparison = compare(model, rows, prepared.base.tokenizer.pad_token_id, may_continue)
    except StopRequested:
        return {}
    reporter.stage("evaluating", "sample answers")
    return {"comparison": comparison, "samples": sample(model, prepared.base, held_out, may_continue)}


def compare(model: PeftModel, rows: Dataset, pad_token_id: int, may_continue: Callable[[], bool]) -> dict[str, Any]:
    """The manifest's `comparison`: losses, perplexities and token accuracies of both on encoded held-out examples,
    and the 95 % confidence interval of the relative fall of the loss.

    For pairs of answers also how often each model finds the preferred one likelier, and how often the adapter's margin
    is larger than the base model's (`reward_accuracy`, what DPO trains). Raises StopRequested like `evaluate`.
    """
    adapter = evaluate(model, rows, pad_token_id, may_continue)
    with model.disable_adapter():
        base = evaluate(model, rows, pad_token_id, may_continue)
    comparison: dict[str, Any] = {"examples": len(rows), "tokens": adapter.tokens}
    for side, evaluation in (("base", base), ("adapter", adapter)):
        for name in ("loss", "perplexity", "token_accuracy"):
            comparison[f"{side}_{name}"] = getattr(evaluation, name)
    if len(rows) > 1:
        comparison["fall_interval"] = fall_interval(base.example_losses, adapter.example_losses)
    if adapter.margins:
        comparison["base_preference_accuracy"] = _share_above_0(base.margins)
        comparison["adapter_preference_accuracy"] = _share_above_0(adapter.margins)
        comparison["reward_accuracy"] = _share_above_0(map(sub, adapter.margins, base.margins))
    return comparison


def _share_above_0(numbers: Iterable[float]) -> float:
    return fmean(number > 0 for number in numbers)


def sample(
    model: PeftModel, base: LoadedModel, held_out: Source, may_continue: Callable[[], bool]
) -> list[dict[str, Any]]:
    """The manifest's `samples`: what both answer to a few held-out conversations, and what was expected.

    The conversations are evenly spread. There are fewer if `may_continue` returns False or the time is up.
    """
    deadline = time.monotonic() + MAX_SAMPLES_SECONDS
    chosen = {number * held_out.count // SAMPLES for number in range(SAMPLES)}
    samples: list[dict[str, Any]] = []
    for index, example in enumerate(held_out.examples()):
        if not may_continue() or time.monotonic() > deadline:
            break
        if index in chosen and (answers := _answers(model, base, example, may_continue)):
            samples.append(answers)
    return samples


def _answers(
    model: PeftModel, base: LoadedModel, example: Example, may_continue: Callable[[], bool]
) -> dict[str, Any] | None:
    """Both answers in place of the assistant's last message; None if nothing comes before it or it is too long."""
    answers = [n for n, message in enumerate(example.messages) if message["role"] == "assistant" and message["content"]]
    if not answers or answers[-1] == 0:
        return None
    messages, expected = example.messages[: answers[-1]], str(example.messages[answers[-1]]["content"])
    try:
        prompt = encode_prompt(base.tokenizer, messages, base.context - SAMPLE_TOKENS, example.tools)
    except TrainingFailure:
        return None
    sampling = Sampling(SAMPLE_TOKENS, seconds=MAX_SAMPLE_SECONDS)
    completions = complete(model, base.tokenizer, prompt, ("base", "adapter"), sampling, may_continue=may_continue)
    return {
        "messages": [{"role": message["role"], "content": _shortened(str(message["content"]))} for message in messages],
        "expected": _shortened(expected),
        "base": completions["base"].text,
        "adapter": completions["adapter"].text,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"
