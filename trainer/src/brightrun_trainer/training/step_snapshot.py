"""The state after the last whole step, which can be saved at any moment, even during the next step."""

import random
from threading import RLock
from typing import Any

import numpy
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class StepSnapshot(TrainerCallback):
    """Keeps the random states and the token count of the last whole step; with `lock` held, nothing else changes.

    The trainer holds the lock from the optimizer's step until the step is logged, and while it writes a checkpoint.
    This must be the last callback.
    """

    def __init__(self) -> None:
        self.lock = RLock()  # re-entrant: cleaning up after a failed step may find it held
        self.tokens = 0
        self.random_states: dict[str, Any] = {}
        self._in_optimizer_step = False

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._take(state)

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.lock.acquire()
        self._in_optimizer_step = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._in_optimizer_step:
            self._in_optimizer_step = False
            self._take(state)
            self.lock.release()

    def _take(self, state: TrainerState) -> None:
        self.tokens = state.num_input_tokens_seen
        # The names are those that Transformers loads.
        self.random_states = {
            "python": random.getstate(),
            "numpy": numpy.random.get_state(),
            "cpu": torch.random.get_rng_state(),
        }
        if torch.cuda.is_available():
            distributed = torch.distributed.is_initialized()
            get = torch.cuda.random.get_rng_state_all if distributed else torch.cuda.random.get_rng_state
            self.random_states["cuda"] = get()
