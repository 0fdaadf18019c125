"""The last whole step of a training: the state that can be saved at any moment, also in the middle of the next step."""

import random
from threading import RLock
from typing import Any

import numpy
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Boundary(TrainerCallback):
    """Knows the random numbers and token count after the last whole step; while `lock` is free nothing else moves.

    A step's end holds it from the optimizer's step until the step is logged, a checkpoint while it is written. To be
    the last callback.
    """

    def __init__(self) -> None:
        self.lock = RLock()  # whoever cleans up after a step that failed may hold it still
        self.tokens = 0
        self.random_states: dict[str, Any] = {}
        self._ends_step = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._remember(state)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.lock.acquire()
        self._ends_step = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._ends_step:
            self._ends_step = False
            self._remember(state)
            self.lock.release()

    def _remember(self, state: TrainerState) -> None:
        self.tokens = state.num_input_tokens_seen
        self.random_states = random_states()


def random_states() -> dict[str, Any]:
    """Where the random number generators stand, under the names that Transformers saves them by."""
    states = {
        "python": random.getstate(),
        "numpy": numpy.random.get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        several = torch.distributed.is_initialized()
        states["cuda"] = torch.cuda.random.get_rng_state_all() if several else torch.cuda.random.get_rng_state()
    return states
