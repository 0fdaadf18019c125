"""Everything that a training needs before its first step."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, concatenate_datasets

from brightrun_trainer.data.packing import pack
from brightrun_trainer.data.split import Task
from brightrun_trainer.data.template_losses import MESSAGES, TOLERATED
from brightrun_trainer.data.tokens import EncodedSet, Encoder, make_dataset
from brightrun_trainer.model.base_model import LoadedModel, load_base
from brightrun_trainer.model.chat_templates import COMPLETE_TEMPLATES, TOOL_TEMPLATES, fits
from brightrun_trainer.process.failures import TrainingFailure
from brightrun_trainer.process.reporting import Reporter

CACHE = "cache"
"""The folder of the encoded examples, which is deleted when the run ends."""
INDEX = "encoded.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A base model with the encoded examples to train and to evaluate it on.

    `examples` counts the conversations in `rows`; packed rows are fewer. `limit`: the longest example, in tokens.
    `truncated` and `dropped` count examples of both sets; `notes` says what is not learned as it was written.
    """

    task: Task
    base: LoadedModel
    limit: int
    rows: Dataset
    held_out: Dataset | None
    examples: int
    truncated: int = 0
    dropped: int = 0
    notes: tuple[str, ...] = ()


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
    if task.spec.on_template_loss == "refuse":
        _reject_losses(sets, base)
    notes = tuple(note for encoded in sets for note in encoded.describe(encoder.limit))
    for note in notes:
        print(note, file=sys.stderr)
    rows, held_out = training.rows, validation.rows if validation else None
    examples = len(rows)
    if task.spec.packing:
        rows = pack(rows, encoder.limit, base)
    index = {"rows": _files(rows), "held_out": _files(held_out) if held_out else [], "examples": examples}
    (cache / INDEX).write_text(json.dumps(index))
    truncated, dropped = (sum(getattr(encoded, kind).count for encoded in sets) for kind in ("truncated", "dropped"))
    return Prepared(task, base, encoder.limit, rows, held_out, examples, truncated, dropped, notes)


def _reject_losses(sets: Sequence[EncodedSet], base: LoadedModel) -> None:
    """Reject data that would be trained on without a part of it. Raises TrainingFailure."""
    lost = [(kind, encoded) for encoded in sets for kind in encoded.lost if kind not in TOLERATED]
    if lost:
        losses = [encoded.say(encoded.lost[kind], f"have {kind}") for kind, encoded in lost]
        complete = COMPLETE_TEMPLATES if MESSAGES in dict(lost) else (*COMPLETE_TEMPLATES, *TOOL_TEMPLATES)
        others = ", ".join(name for name in complete if fits(name, base.tokenizer))
        raise TrainingFailure(
            "template_loses_data",
            f"The chat template leaves out parts of the data: {'; '.join(losses)}.",
            f"Set chat_template to one that renders them ({others}), or on_template_loss to warn.",
        )


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
