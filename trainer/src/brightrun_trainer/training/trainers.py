"""TRL's trainers for both methods, extended to save the last whole step at any moment."""

import copy
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, set_seed
from trl.trainer import utils as trl_utils
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from brightrun.contracts.run_folder import CHECKPOINT_PREFIX, CHECKPOINT_STATE, CHECKPOINTS, INIT_ADAPTER
from brightrun_trainer.data.preparation import Prepared
from brightrun_trainer.model import initial_adapter
from brightrun_trainer.model.base_model import lora_config, precision
from brightrun_trainer.process.failures import TrainingFailure
from brightrun_trainer.training import checkpoints
from brightrun_trainer.training.arguments import Plan, dpo_arguments, sft_arguments, warmup_note
from brightrun_trainer.training.callbacks import StepSnapshot

# Without Triton, TRL also scores tokens that are not learned, to keep shapes equal for devices that compile for each
# shape. A CPU does not compile, and would lose a tenth of its speed.
trl_utils._use_triton = lambda device: True  # type: ignore[attr-defined]


class ResumableTrainer(Trainer):  # type: ignore[misc, unused-ignore]
    """Saves everything that a resumed training needs to continue the same curve; keeps the newest and the best."""

    snapshot: StepSnapshot
    checkpoints_kept: int
    warmup_note: str | None

    @property
    def folder(self) -> Path:
        return Path(str(self.args.output_dir))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Leave the training's random states unchanged, so that its curve does not depend on evaluations."""
        with torch.random.fork_rng(devices=range(torch.cuda.device_count() and 1)):
            return super().evaluate(*args, **kwargs)

    def save_now(self) -> None:
        """Save the last whole step from any thread; the caller holds the snapshot's lock.

        The random states of other processes are not saved, and start anew after a resume.
        """
        folder = self.folder / f"{CHECKPOINT_PREFIX}{self.state.global_step}"
        if (folder / CHECKPOINT_STATE).exists():
            return
        self.save_model(str(folder), _internal_call=True)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        state = copy.copy(self.state)
        state.num_input_tokens_seen = self.snapshot.tokens
        stateful: Any = state.stateful_callbacks
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, EarlyStoppingCallback):
                stateful[type(callback).__name__] = callback.state()
        state.save_to_json(str(folder / CHECKPOINT_STATE))
        checkpoints.delete_old(self.folder, self.checkpoints_kept, state.best_global_step)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.snapshot.lock:
            super()._save_checkpoint(model, trial)
        if self.args.should_save:
            checkpoints.delete_old(self.folder, self.checkpoints_kept, self.state.best_global_step)

    def _save_rng_state(self, output_dir: str) -> None:
        single = self.args.world_size <= 1
        name = "rng_state.pth" if single else f"rng_state_{self.args.process_index}.pth"
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        torch.save(self.snapshot.random_states, Path(output_dir) / name)


class ConversationTrainer(ResumableTrainer, SFTTrainer):  # type: ignore[misc, unused-ignore]
    """Learns what the assistant says."""


class PreferenceTrainer(ResumableTrainer, DPOTrainer):  # type: ignore[misc, unused-ignore]
    """Learns which of two answers is preferred."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        """The examples are already encoded."""
        return dataset


def make_trainer(
    prepared: Prepared, run_dir: Path, processes: int, callbacks: list[TrainerCallback]
) -> ResumableTrainer:
    """The trainer for the spec's method, with a new adapter or the earlier one. Raises TrainingFailure."""
    spec = prepared.task.spec
    set_seed(spec.seed)
    snapshot = StepSnapshot()
    if early := spec.early_stopping:
        callbacks = [*callbacks, EarlyStoppingCallback(early.patience, early.min_delta)]
    try:
        trainer = _trainer_of(prepared, run_dir, processes, [*callbacks, snapshot])
    except ValueError as error:
        if "target modules" not in str(error).lower():
            raise
        raise TrainingFailure(
            "target_modules_unknown",
            f"{spec.base_model} has none of the modules {', '.join(spec.target_modules)}.",
            "Name modules of this model, or use all-linear.",
        ) from error
    trainer.snapshot, trainer.checkpoints_kept = snapshot, spec.checkpoints_kept
    model = cast("PeftModel", trainer.model)
    widen_adapter(model)
    # The base model's path on this cluster means nothing after a download, of a checkpoint or of the adapter.
    lora = model.peft_config["default"]
    lora.base_model_name_or_path, lora.revision = spec.base_model, spec.base_model_revision
    # PEFT would ask the hub by this name, at each save, whether the vocabulary was extended.
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)  # type: ignore[method-assign]
    if spec.init_from:  # TRL has rounded it, but not DPO's reference
        initial_adapter.load_into(model, run_dir / INIT_ADAPTER, spec)
    return trainer


def widen_adapter(model: torch.nn.Module) -> None:
    """Convert trained parameters to float32: TRL narrows those of a quantized model, which fp16 cannot train."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _trainer_of(
    prepared: Prepared, run_dir: Path, processes: int, callbacks: list[TrainerCallback]
) -> ResumableTrainer:
    spec, model = prepared.task.spec, prepared.base.model
    evaluates = prepared.held_out is not None
    plan = Plan(spec, len(prepared.rows), prepared.limit, evaluates, precision(), processes)
    arguments: dict[str, Any] = {
        "train_dataset": prepared.rows,
        "eval_dataset": prepared.held_out,
        "processing_class": prepared.base.tokenizer,
        "callbacks": callbacks,
    }
    if spec.init_from is None:
        arguments |= {"model": model, "peft_config": lora_config(spec)}
    else:  # DPO's reference is then a copy of the earlier adapter
        adapted = cast("PeftModel", get_peft_model(model, lora_config(spec)))
        initial_adapter.load_into(adapted, run_dir / INIT_ADAPTER, spec)
        arguments["model"] = adapted
    folder = run_dir / CHECKPOINTS
    trainer: ResumableTrainer
    if spec.method == "dpo":
        trainer = PreferenceTrainer(args=dpo_arguments(plan, folder), **arguments)
    else:
        trainer = ConversationTrainer(args=sft_arguments(plan, folder), **arguments)
    trainer.warmup_note = warmup_note(plan)
    return trainer
