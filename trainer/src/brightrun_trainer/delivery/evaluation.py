"""Loss, token accuracy and preference margins of a model on encoded examples."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from brightrun_trainer.data.tokens import IGNORED
from brightrun_trainer.process.stop import StopRequested

BATCH = 4
RESAMPLES = 1000
QUANTILES = (0.025, 0.975)
MAX_LOSS = 700.0
"""Beyond it, exp(loss) does not fit into a float."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Over the learned tokens: mean negative log-likelihood in nats, and the share that the model predicts first.

    `margins` has, for each pair of answers, the log-likelihood of the preferred one minus the other's, in nats;
    `example_losses`, for each example, the sum of the losses of its learned tokens.
    """

    loss: float
    token_accuracy: float
    tokens: int
    margins: Sequence[float]
    example_losses: Sequence[float]

    @property
    def perplexity(self) -> float | None:
        """exp(loss); None where it does not fit into a float."""
        return math.exp(self.loss) if self.loss < MAX_LOSS else None


@torch.no_grad()
def evaluate(model: PeftModel, rows: Dataset, pad_token_id: int, may_continue: Callable[[], bool]) -> Evaluation:
    """Evaluate on all rows; calls `may_continue` before each batch and raises StopRequested if it returns False."""
    model.eval()
    collate = DataCollatorForLanguageModeling(pad_token_id=pad_token_id)
    correct, tokens = 0, 0
    margins: list[float] = []
    losses: list[float] = []
    for start in range(0, len(rows), BATCH):
        if not may_continue():
            raise StopRequested
        examples = list(rows.select(range(start, min(start + BATCH, len(rows)))))
        batch = collate([{name: example[name] for name in ("input_ids", "labels")} for example in examples])
        labels = batch.pop("labels")[:, 1:].to(model.device)
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        logits = model(**inputs, use_cache=False).logits[:, :-1]
        learned = labels != IGNORED
        # Only learned positions are converted to float: with a large vocabulary this is what takes the memory.
        predicted, expected = logits[learned].float(), labels[learned]
        of_tokens = cross_entropy(predicted, expected, reduction="none").double()
        of_examples = torch.zeros(len(examples), dtype=torch.float64, device=of_tokens.device)
        losses += of_examples.index_add(0, learned.nonzero()[:, 0], of_tokens).tolist()
        correct += int((predicted.argmax(-1) == expected).sum())
        tokens += int(learned.sum())
        margins += [_margin(model, example, pad_token_id) for example in examples if "rejected_ids" in example]
    return Evaluation(math.fsum(losses) / tokens, correct / tokens, tokens, margins, losses)


def _margin(model: PeftModel, example: dict[str, list[int]], pad_token_id: int) -> float:
    prompt = example["prompt_ids"]
    texts = [torch.tensor(prompt + example[name], device=model.device) for name in ("chosen_ids", "rejected_ids")]
    ids = pad_sequence(texts, batch_first=True, padding_value=pad_token_id)
    mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    first = max(len(prompt), 1)  # without a prompt, the first token has no prediction
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, first - 1 : -1].float()
    predicted = logits.log_softmax(-1).gather(-1, ids[:, first:, None]).squeeze(-1)
    preferred, other = (predicted * mask[:, first:]).sum(-1).tolist()
    return float(preferred - other)


def fall_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the relative fall of the mean loss, from the losses of the same examples.

    A percentile bootstrap over examples (Efron and Tibshirani 1993), the same for the same losses.
    """
    chosen = torch.randint(len(before), (RESAMPLES, len(before)), generator=torch.Generator().manual_seed(0))
    sums = [torch.tensor(losses, dtype=torch.float64)[chosen].sum(1) for losses in (before, after)]
    falls = 1 - sums[1] / sums[0].clamp_min(torch.finfo(torch.float64).tiny)
    low, high = torch.quantile(falls, torch.tensor(QUANTILES, dtype=torch.float64)).tolist()
    return low, high
