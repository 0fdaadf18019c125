"""TRL's trainers for both methods, made able to save the last whole step at any moment."""

import copy
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from trl.trainer import utils as trl_utils
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer import checkpoints, start
from brightrun_trainer.arguments import Hardware, dpo_arguments, sft_arguments
from brightrun_trainer.boundary import Boundary
from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.model import lora_config
from brightrun_trainer.preparation import Prepared

# Without Triton TRL scores what is not learned as well, so that the shapes stay the same for devices that compile for
# each. A CPU does not, and would lose a tenth of its speed.
trl_utils._use_triton = lambda device: True  # type: ignore[attr-defined]


class Resumable(Trainer):  # type: ignore[misc, unused-ignore]
    """Saves what a resumed training needs to go on as if it had never ended, and keeps the newest and the best."""

    boundary: Boundary
    checkpoints_kept: int

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        return Path(str(self.args.output_dir))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Take no random numbers from the training, so that one that stops without evaluating goes on the same."""
        with torch.random.fork_rng(devices=range(torch.cuda.device_count() and 1)):
            return super().evaluate(*args, **kwargs)

    def save_now(self) -> None:
        """Save the last whole step, from any thread; the caller holds the boundary's lock.

        Processes of other GPUs take no part: after that their random numbers begin anew.
        """
        folder = self.folder / f"{checkpoints.PREFIX}{self.state.global_step}"
        if (folder / TRAINER_STATE_NAME).exists():
            return
        self.save_model(str(folder), _internal_call=True)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        state = copy.copy(self.state)
        state.num_input_tokens_seen = self.boundary.tokens
        stateful: Any = state.stateful_callbacks
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, EarlyStoppingCallback):
                stateful[type(callback).__name__] = callback.state()
        state.save_to_json(str(folder / TRAINER_STATE_NAME))
        checkpoints.keep(self.folder, self.checkpoints_kept, state.best_global_step)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.boundary.lock:
            super()._save_checkpoint(model, trial)
        if self.args.should_save:
            checkpoints.keep(self.folder, self.checkpoints_kept, self.state.best_global_step)

    def _save_rng_state(self, output_dir: str) -> None:
        single = self.args.world_size <= 1
        name = "rng_state.pth" if single else f"rng_state_{self.args.process_index}.pth"
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        torch.save(self.boundary.random_states, Path(output_dir) / name)


class ConversationTrainer(Resumable, SFTTrainer):  # type: ignore[misc, unused-ignore]
    """Learns what the assistant says."""


class PreferenceTrainer(Resumable, DPOTrainer):  # type: ignore[misc, unused-ignore]
    """Learns which of two answers is preferred."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        """The examples are encoded already."""
        return dataset


def make_trainer(
    prepared: Prepared, run_dir: Path, hardware: Hardware, callbacks: list[TrainerCallback]
) -> ConversationTrainer | PreferenceTrainer:
    """The trainer for the spec's method with a new adapter, or that of an earlier training. Raises TrainingFailure."""
    spec = prepared.task.spec
    set_seed(spec.seed)
    boundary = Boundary()
    if early := spec.early_stopping:
        callbacks = [*callbacks, EarlyStoppingCallback(early.patience, early.min_delta)]
    try:
        trainer = _trainer_of(prepared, run_dir, hardware, [*callbacks, boundary])
    except ValueError as error:
        if "target modules" not in str(error).lower():
            raise
        raise TrainingFailure(
            "target_modules_unknown",
            f"{spec.base_model} has none of the modules {', '.join(spec.target_modules)}.",
            "Name modules of this model, or use all-linear.",
        ) from error
    trainer.boundary, trainer.checkpoints_kept = boundary, spec.checkpoints_kept
    model = cast("PeftModel", trainer.model)
    widen_adapter(model)
    if spec.init_from:  # TRL has rounded it, but not the copy that DPO measures against
        start.load_into(model, run_dir / start.FOLDER, spec)
    return trainer


def widen_adapter(model: torch.nn.Module) -> None:
    """Hold the trained numbers in full precision; TRL narrows those of a quantized model, which fp16 cannot train."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _trainer_of(
    prepared: Prepared, run_dir: Path, hardware: Hardware, callbacks: list[TrainerCallback]
) -> ConversationTrainer | PreferenceTrainer:
    spec, base = prepared.task.spec, prepared.base
    arguments = {
        "train_dataset": prepared.rows,
        "eval_dataset": prepared.held_out,
        "processing_class": base.tokenizer,
        "callbacks": callbacks,
        **_adapted(spec, prepared, run_dir),
    }
    if spec.method == "dpo":
        return PreferenceTrainer(args=dpo_arguments(prepared.plan, run_dir / "checkpoints", hardware), **arguments)
    return ConversationTrainer(args=sft_arguments(prepared.plan, run_dir / "checkpoints", hardware), **arguments)


def _adapted(spec: TrainingSpec, prepared: Prepared, run_dir: Path) -> dict[str, Any]:
    """A model with the earlier adapter, which DPO then also measures against; or the base, for TRL to put one on."""
    if spec.init_from is None:
        return {"model": prepared.base.model, "peft_config": lora_config(spec)}
    model = get_peft_model(prepared.base.model, lora_config(spec))
    start.load_into(cast("PeftModel", model), run_dir / start.FOLDER, spec)
    return {"model": model}
