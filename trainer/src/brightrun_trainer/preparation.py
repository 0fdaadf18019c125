"""Everything that a training needs before its first step."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.model import Base, load_base
from brightrun_trainer.reporting import Reporter
from brightrun_trainer.task import Task
from brightrun_trainer.tokens import Encoder, make_dataset


@dataclass(frozen=True, slots=True)
class Prepared:
    """A base model and the encoded conversations to train and to test it on."""

    task: Task
    base: Base
    encoder: Encoder
    rows: Dataset
    held_out: Dataset | None


def prepare(run_dir: Path, task: Task, reporter: Reporter) -> Prepared:
    """Load the base model and encode the conversations for it. Raises TrainingFailure."""
    spec = task.spec
    reporter.stage("loading", f"base model {spec.base_model}")
    base = load_base(spec.base_model, spec.base_model_revision)
    encoder = Encoder(base.tokenizer, base.chat_template, min(spec.max_length, base.context))
    cache = encoding_cache(run_dir)
    shutil.rmtree(cache, ignore_errors=True)
    reporter.stage("tokenizing", f"{task.training.count:,} conversations")
    rows = make_dataset(task.training, encoder, cache, lambda shown: reporter.stage("tokenizing", shown))
    held_out = make_dataset(task.held_out, encoder, cache, lambda _: None) if task.held_out else None
    if not rows or (held_out is not None and not held_out):
        raise TrainingFailure(
            "data_empty",
            f"No example has an assistant message to learn from within {encoder.limit} tokens.",
            "Raise max_length, or give assistant messages a weight of 1.",
        )
    return Prepared(task, base, encoder, rows, held_out)


def encoding_cache(run_dir: Path) -> Path:
    """Where the encoded conversations lie while the run lasts."""
    return run_dir / "cache"
