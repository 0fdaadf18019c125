"""Packing: several examples in one row without seeing each other, where the model can keep them apart."""

from typing import Any

import torch
from datasets import Dataset
from trl.data_utils import pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.model import Base

PROBE_TOKENS = 12
TOLERANCE = 0.25
"""Of what a neighbour that is seen changes: rounding changes a tenth of that in half precision, and less in single."""


def pack(rows: Dataset, limit: int, base: Base) -> Dataset:
    """Rows of at most `limit` tokens, each whole examples. Raises TrainingFailure if the model cannot take them."""
    if not keeps_apart(base):
        raise TrainingFailure(
            "packing_unsupported",
            "This base model cannot tell the examples of a packed row apart.",
            "Leave packing out.",
        )
    return pack_dataset(rows.select_columns(["input_ids", "labels"]), limit, "bfd")


@torch.no_grad()
def keeps_apart(base: Base) -> bool:
    """Whether the model says the same of an example alone and behind another in a packed row: it is tried out."""
    model = base.model
    training = model.training
    model.eval()
    first, second = (list(range(7 * start, 7 * start + PROBE_TOKENS)) for start in (1, 3))
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)

    def say(*examples: list[int]) -> torch.Tensor:
        inputs = _inputs(collate([{"input_ids": ids} for ids in examples]), model.device)
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
        return logits[:, -PROBE_TOKENS:].float()

    try:
        alone, packed, joined = say(second), say(first, second), say(first + second)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    finally:
        model.train(training)
    return bool((packed - alone).norm() < TOLERANCE * (joined - alone).norm())


def _inputs(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
        if name != "labels"
    }
