"""Everything that a training needs before its first step."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, concatenate_datasets

from brightrun_trainer.data.packing import pack
from brightrun_trainer.data.split import Task
from brightrun_trainer.data.tokens import Encoder, make_dataset
from brightrun_trainer.model.base_model import LoadedModel, load_base
from brightrun_trainer.process.reporting import Reporter

CACHE = "cache"
"""The folder of the encoded examples, which is deleted when the run ends."""
INDEX = "encoded.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A base model with the encoded examples to train and to evaluate it on.

    `examples` counts the conversations in `rows`; packed rows are fewer. `limit`: the longest example, in tokens.
    `truncated` and `dropped` count examples of both sets.
    """

    task: Task
    base: LoadedModel
    limit: int
    rows: Dataset
    held_out: Dataset | None
    examples: int
    truncated: int = 0
    dropped: int = 0


def prepare(run_dir: Path, task: Task, reporter: Reporter) -> Prepared:
    """Load the base model and encode the examples for it. Raises TrainingFailure."""
    reporter.stage("loading", f"base model {task.spec.base_model}")
    base, encoder = _load(task)
    cache = run_dir / CACHE
    shutil.rmtree(cache, ignore_errors=True)
    reporter.stage("tokenizing", f"{task.training.count:,} conversations")
    training = make_dataset(task.training, encoder, cache, lambda message: reporter.stage("tokenizing", message))
    validation = make_dataset(task.held_out, encoder, cache, lambda _: None) if task.held_out else None
    sets = [training, validation] if validation else [training]
    rows, held_out = training.rows, validation.rows if validation else None
    examples = len(rows)
    if task.spec.packing:
        rows = pack(rows, encoder.limit, base)
    index = {"rows": _files(rows), "held_out": _files(held_out) if held_out else [], "examples": examples}
    (cache / INDEX).write_text(json.dumps(index))
    truncated, dropped = (sum(getattr(encoded, kind).count for encoded in sets) for kind in ("truncated", "dropped"))
    return Prepared(task, base, encoder.limit, rows, held_out, examples, truncated, dropped)


def load_prepared(run_dir: Path, task: Task) -> Prepared:
    """The same in a further process of the run, from the files that the first one wrote."""
    base, encoder = _load(task)
    index = json.loads((run_dir / CACHE / INDEX).read_text())
    held_out = _from_files(index["held_out"]) if index["held_out"] else None
    return Prepared(task, base, encoder.limit, _from_files(index["rows"]), held_out, index["examples"])


def _load(task: Task) -> tuple[LoadedModel, Encoder]:
    spec = task.spec
    base = load_base(
        spec.base_model, spec.base_model_revision, template=spec.chat_template, nf4=spec.quantization == "nf4"
    )
    return base, Encoder(base.tokenizer, base.chat_template, min(spec.max_length, base.context))


def _files(dataset: Dataset) -> list[str]:
    return [file["filename"] for file in dataset.cache_files]


def _from_files(files: list[str]) -> Dataset:
    return concatenate_datasets([Dataset.from_file(file) for file in files])
