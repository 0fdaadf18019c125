"""Everything that a training needs before its first step."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, concatenate_datasets

from brightrun_trainer.arguments import Plan
from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.model import Base, load_base
from brightrun_trainer.packing import pack
from brightrun_trainer.reporting import Reporter
from brightrun_trainer.task import Task
from brightrun_trainer.tokens import Encoder, make_dataset

ENCODED = "encoded.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A base model and the encoded conversations to train and to test it on.

    `examples` is how many conversations are in `rows`, which are fewer if they are packed.
    """

    task: Task
    base: Base
    encoder: Encoder
    rows: Dataset
    held_out: Dataset | None
    examples: int

    @property
    def plan(self) -> Plan:
        """What decides the training's course."""
        return Plan(self.task.spec, len(self.rows), self.encoder.limit, self.held_out is not None)


def prepare(run_dir: Path, task: Task, reporter: Reporter) -> Prepared:
    """Load the base model and encode the conversations for it. Raises TrainingFailure."""
    reporter.stage("loading", f"base model {task.spec.base_model}")
    base, encoder = _load(task)
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
    examples = len(rows)
    if task.spec.packing:
        rows = pack(rows, encoder.limit, base)
    _note_files(cache, examples, rows, held_out)
    return Prepared(task, base, encoder, rows, held_out, examples)


def join(run_dir: Path, task: Task) -> Prepared:
    """The same for a further process of the run, from what the first one encoded."""
    base, encoder = _load(task)
    noted = json.loads((encoding_cache(run_dir) / ENCODED).read_text())
    held_out = _from_files(noted["held_out"]) if noted["held_out"] else None
    return Prepared(task, base, encoder, _from_files(noted["rows"]), held_out, noted["examples"])


def encoding_cache(run_dir: Path) -> Path:
    """Where the encoded conversations lie while the run lasts."""
    return run_dir / "cache"


def _load(task: Task) -> tuple[Base, Encoder]:
    spec = task.spec
    base = load_base(
        spec.base_model,
        spec.base_model_revision,
        template=spec.chat_template,
        nf4=spec.quantization == "nf4",
    )
    return base, Encoder(base.tokenizer, base.chat_template, min(spec.max_length, base.context))


def _note_files(cache: Path, examples: int, rows: Dataset, held_out: Dataset | None) -> None:
    files = {"rows": rows, "held_out": held_out}
    noted = {name: [file["filename"] for file in one.cache_files] if one else [] for name, one in files.items()}
    (cache / ENCODED).write_text(json.dumps({"examples": examples, **noted}))


def _from_files(files: list[str]) -> Dataset:
    return concatenate_datasets([Dataset.from_file(file) for file in files])
