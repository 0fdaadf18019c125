"""Advice for a training that does not fit into memory, with figures for its model and machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch
from transformers import PreTrainedModel

from brightrun.contracts import shapes
from brightrun.contracts.memory import Device, advise
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.process.failures import TrainingFailure, is_out_of_memory, out_of_memory


@contextmanager
def oom_advice(spec: TrainingSpec, model: PreTrainedModel) -> Iterator[None]:
    """Turn an out-of-memory error into a TrainingFailure with advice, where the model's shape is known."""
    shape = shape_of(model)
    try:
        yield
    except Exception as error:
        if shape is None or not is_out_of_memory(error):
            raise
        general = out_of_memory(error)
        raise TrainingFailure(general.code, general.message, advise(spec, shape, *_available())) from error


def shape_of(model: PreTrainedModel) -> ModelShape | None:
    """The sizes that its memory depends on; None if its configuration does not use the common names."""
    return shapes.read(model.config.get_text_config().to_dict(), model.num_parameters())


def _available() -> tuple[int, Device]:
    """Bytes of the current GPU's memory, or else of this machine's, in use or not."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[1], "cuda"
    return psutil.virtual_memory().total, "cpu"
