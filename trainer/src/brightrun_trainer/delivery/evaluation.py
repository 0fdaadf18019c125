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
MAX_LOSS = 700.0
"""Beyond it, exp(loss) does not fit into a float."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Over the learned tokens: mean negative log-likelihood in nats, and the share that the model predicts first.

    `margins` has, for each pair of answers, the log-likelihood of the preferred one minus the other's, in nats.
    """

    loss: float
    token_accuracy: float
    tokens: int
    margins: Sequence[float]

    @property
    def perplexity(self) -> float | None:
        """exp(loss); None where it does not fit into a float."""
        return math.exp(self.loss) if self.loss < MAX_LOSS else None


@torch.no_grad()
def evaluate(model: PeftModel, rows: Dataset, pad_token_id: int, may_continue: Callable[[], bool]) -> Evaluation:
    """Evaluate on all rows; calls `may_continue` before each batch and raises StopRequested if it returns False."""
    model.eval()
    collate = DataCollatorForLanguageModeling(pad_token_id=pad_token_id)
    loss, correct, tokens = 0.0, 0, 0
    margins = []
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
        loss += cross_entropy(predicted, expected, reduction="sum").item()
        correct += int((predicted.argmax(-1) == expected).sum())
        tokens += int(learned.sum())
        margins += [_margin(model, example, pad_token_id) for example in examples if "rejected_ids" in example]
    return Evaluation(loss / tokens, correct / tokens, tokens, margins)


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
