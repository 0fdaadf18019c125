"""Measures how well a model foretells what the assistant says."""

from collections.abc import Callable

import torch
from datasets import Dataset
from peft import PeftModel
from torch.nn.functional import cross_entropy
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from brightrun_trainer.tokens import IGNORED

BATCH = 4


@torch.no_grad()
def mean_loss(model: PeftModel, rows: Dataset, pad_token_id: int, between: Callable[[], None]) -> float:
    """Mean negative log-likelihood a learned token, in nats; `between` is called before each batch and may raise."""
    model.eval()
    collate = DataCollatorForLanguageModeling(pad_token_id=pad_token_id)
    loss, count = 0.0, 0
    for start in range(0, len(rows), BATCH):
        between()
        batch = collate(list(rows.select(range(start, min(start + BATCH, len(rows))))))
        labels = batch.pop("labels")[:, 1:].to(model.device)
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()
        loss += cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum").item()
        count += int((labels != IGNORED).sum())
    return loss / count
