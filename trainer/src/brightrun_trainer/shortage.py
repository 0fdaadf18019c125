"""Says what to change when a training does not fit into memory, with figures for its model and machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch
from transformers import PreTrainedModel

from brightrun.contracts import shapes
from brightrun.contracts.memory import Device, advise
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.failures import TrainingFailure, is_out_of_memory, tell_shortage


@contextmanager
def advised(spec: TrainingSpec, model: PreTrainedModel) -> Iterator[None]:
    """Turn running out of memory into a TrainingFailure with advice, where the model's shape is known."""
    shape = shape_of(model)
    try:
        yield
    except Exception as error:
        if shape is None or not is_out_of_memory(error):
            raise
        told = tell_shortage(error)
        raise TrainingFailure(told.code, told.message, advise(spec, shape, *_available())) from error


def shape_of(model: PreTrainedModel) -> ModelShape | None:
    """What the model's memory depends on; None if its configuration does not tell it in the usual words."""
    return shapes.read(model.config.get_text_config().to_dict(), model.num_parameters())


def _available() -> tuple[int, Device]:
    """Bytes of the current GPU's memory, or else of this machine's, in use or not."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[1], "cuda"
    return psutil.virtual_memory().total, "cpu"
