"""Measures how well a model foretells what the assistant says, and which of two answers it finds likelier."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from brightrun_trainer.tokens import IGNORED

BATCH = 4
HIGHEST_LOSS = 700.0
"""Beyond it, exp(loss) is more than a float holds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Over the learned tokens: mean negative log-likelihood in nats, and the share that was the model's first guess."""

    loss: float
    token_accuracy: float
    tokens: int

    @property
    def perplexity(self) -> float | None:
        """exp(loss): among how many tokens, as good as equal, the model wavers. None where it is beyond a float."""
        return math.exp(self.loss) if self.loss < HIGHEST_LOSS else None


@torch.no_grad()
def measure(model: PeftModel, rows: Dataset, pad_token_id: int, between: Callable[[], None]) -> Measured:
    """Foretell all rows; `between` is called before each batch and may raise."""
    model.eval()
    collate = DataCollatorForLanguageModeling(pad_token_id=pad_token_id)
    rows = rows.select_columns(["input_ids", "labels"])
    loss, right, count = 0.0, 0, 0
    for start in range(0, len(rows), BATCH):
        between()
        batch = collate(list(rows.select(range(start, min(start + BATCH, len(rows))))))
        labels = batch.pop("labels")[:, 1:].to(model.device)
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        logits = model(**inputs, use_cache=False).logits[:, :-1]
        learned = labels != IGNORED
        # Only the learned positions are widened to float: with a large vocabulary they are what takes the memory.
        chosen, wanted = logits[learned].float(), labels[learned]
        loss += cross_entropy(chosen, wanted, reduction="sum").item()
        right += int((chosen.argmax(-1) == wanted).sum())
        count += int(learned.sum())
    return Measured(loss / count, right / count, count)


@torch.no_grad()
def margins(model: PeftModel, rows: Dataset, pad_token_id: int, between: Callable[[], None]) -> list[float]:
    """For each pair of answers, by how many nats the preferred one is likelier than the other."""
    model.eval()
    found = []
    for row in rows:
        between()
        pair = [row["prompt_ids"] + row[name] for name in ("chosen_ids", "rejected_ids")]
        preferred, other = _likelihoods(model, pair, len(row["prompt_ids"]), pad_token_id)
        found.append(preferred - other)
    return found


def _likelihoods(model: PeftModel, texts: Sequence[list[int]], start: int, pad_token_id: int) -> list[float]:
    """The log-likelihood of each text from position `start` on, in nats."""
    tensors = [torch.tensor(text, device=model.device) for text in texts]
    ids = pad_sequence(tensors, batch_first=True, padding_value=pad_token_id)
    real = pad_sequence([torch.ones_like(one) for one in tensors], batch_first=True)
    # Without a prompt the first token is not foretold either.
    first = max(start, 1)
    logits = model(input_ids=ids, attention_mask=real, use_cache=False).logits[:, first - 1 : -1].float()
    chosen = logits.log_softmax(-1).gather(-1, ids[:, first:, None]).squeeze(-1)
    return [float(total) for total in (chosen * real[:, first:]).sum(-1)]
