"""Packing: several examples in one row without attention between them, where the model supports it."""

import torch
from datasets import Dataset
from trl.data_utils import pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from brightrun_trainer.model.base_model import LoadedModel
from brightrun_trainer.process.failures import TrainingFailure

PROBE_TOKENS = 12
TOLERANCE = 0.25
"""A share of the change that attention to the example before makes. Rounding makes a tenth of it in half precision."""


def pack(rows: Dataset, limit: int, base: LoadedModel) -> Dataset:
    """Rows of at most `limit` tokens, each of whole examples. Raises TrainingFailure if the model cannot pack."""
    if not supports_packing(base):
        raise TrainingFailure(
            "packing_unsupported", "This base model cannot separate the examples of a packed row.", "Leave packing out."
        )
    return pack_dataset(rows.select_columns(["input_ids", "labels"]), limit, "bfd")


@torch.no_grad()
def supports_packing(base: LoadedModel) -> bool:
    """Whether the model computes the same for an example alone and after another one in a packed row: a trial."""
    model = base.model
    training = model.training
    model.eval()
    first, second = (list(range(7 * start, 7 * start + PROBE_TOKENS)) for start in (1, 3))
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)

    def logits(*examples: list[int]) -> torch.Tensor:
        batch = collate([{"input_ids": ids} for ids in examples])
        inputs = {
            name: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
            if name != "labels"
        }
        scores: torch.Tensor = model(**inputs, use_cache=False).logits
        return scores[:, -PROBE_TOKENS:].float()

    try:
        alone, packed, joined = logits(second), logits(first, second), logits(first + second)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    finally:
        model.train(training)
    return bool((packed - alone).norm() < TOLERANCE * (joined - alone).norm())
