"""The memory estimate against the memory that trainings use.

Two measures: the tensors of a step as on a GPU, for models of real sizes on tensors without storage, within a tenth;
and the peak of a whole training of the tiny model on this CPU, within a quarter. Neither includes CUDA's own memory,
fragmentation or nf4: the estimate's `total` adds those, unmeasured.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.memory import needed
from brightrun.contracts.reports import REPORT, FailedReport
from brightrun.contracts.shapes import KNOWN, ModelShape
from brightrun.contracts.training import TrainingSpec
from tests.trainer.runs import Trainer, run_folder

pytestmark = pytest.mark.xdist_group("trainer")

TRAIN_AND_WRITE_PEAK = """
import os, pathlib, re, sys
from brightrun_trainer.__main__ import main
main()
peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
pathlib.Path(sys.argv[1], "peak").write_text(peak[1])
os._exit(0)
"""
"""`ru_maxrss` is no use: a process starts with that of its parent, which is pytest here."""

HELD_MEMORY = Path(__file__).with_name("held_memory.py")
MIB = 1 << 20
LLAMA_8B = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
SMOL = KNOWN["HuggingFaceTB/SmolLM2-135M-Instruct"]
MISTRAL = KNOWN["mistralai/Mistral-7B-Instruct-v0.3"]


def cut(shape: ModelShape, layers: int) -> ModelShape:
    """The same network with fewer layers, separate embeddings and head, and the resulting number of parameters."""
    layer = sum(inputs * outputs for inputs, outputs in shape.linear.values()) + 2 * shape.hidden_size
    tables = 2 * shape.vocabulary * shape.hidden_size + shape.hidden_size
    return shape.model_copy(update={"layers": layers, "parameters": layers * layer + tables})


CASES: list[tuple[dict[str, Any], ModelShape]] = [
    ({"batch_size": 4, "max_length": 1024}, cut(LLAMA_8B, 6)),
    ({"batch_size": 16, "max_length": 1024, "dropout": 0}, cut(LLAMA_8B, 3)),
    ({"batch_size": 1, "max_length": 8192, "rank": 128}, cut(LLAMA_8B, 3)),
    ({"batch_size": 8, "max_length": 512, "target_modules": ["q_proj", "v_proj"]}, cut(LLAMA_8B, 3)),
    ({"batch_size": 4, "max_length": 2048, "rank": 64}, cut(MISTRAL, 4)),
    ({"batch_size": 16, "max_length": 1024}, cut(SMOL, 12)),
    ({"batch_size": 1, "max_length": 256, "dropout": 0}, cut(SMOL, 6)),
]


def test_the_estimate_of_a_step_is_right_within_a_tenth(fresh_trainer: Trainer) -> None:
    """In a fresh process, because the trainer's modules change how TRL scores on a CPU."""
    cases = [{"spec": spec, "shape": shape.model_dump()} for spec, shape in CASES]
    called = fresh_trainer.call(str(HELD_MEMORY), json.dumps(cases))
    assert called.returncode == 0, called.stderr[-3000:]

    for (spec, shape), measured in zip(CASES, json.loads(called.stdout), strict=True):
        assert needed(TrainingSpec(**spec), shape).tensors == pytest.approx(measured, rel=0.1), spec


def peak_of_training(fresh_trainer: Trainer, folder: Path, **spec: Any) -> int:
    """The peak resident bytes of a training of two full batches.

    Blocks above 256 KiB return to the system when they are freed, so that the peak is memory in use.
    """
    size, length = spec["batch_size"], spec["max_length"]
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "chain wheel " * length}]
    run = run_folder(
        folder, data=f"{json.dumps({'messages': chat})}\n" * (size + 1), base_model="tiny", max_steps=2, **spec
    )
    called = subprocess.run(
        [fresh_trainer.python, "-c", TRAIN_AND_WRITE_PEAK, run],
        env=fresh_trainer.environment | {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TOP_PAD_": "65536"},
        stdout=subprocess.DEVNULL,
        stderr=(run / "log").open("wb"),
        check=False,
    )
    assert called.returncode == 0, (run / "log").read_text()[-3000:]
    return int((run / "peak").read_text()) * 1024


def test_the_estimate_of_a_training_on_this_cpu_is_right_within_a_quarter(
    fresh_trainer: Trainer, tmp_path: Path
) -> None:
    empty = peak_of_training(fresh_trainer, tmp_path / "empty", batch_size=1, max_length=16)
    for name, spec in {
        "wide": {"batch_size": 8, "max_length": 1024},
        "plain": {"batch_size": 16, "max_length": 512, "dropout": 0, "rank": 64},
    }.items():
        used = peak_of_training(fresh_trainer, tmp_path / name, **spec) - empty
        assert needed(TrainingSpec(**spec), KNOWN["tiny"], "cpu").tensors == pytest.approx(used, rel=0.25), spec


def test_an_out_of_memory_error_has_advice_with_figures(trainer: Trainer, tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "chain wheel " * 2048}]
    run = run_folder(
        tmp_path / "run", data=f"{json.dumps({'messages': chat})}\n" * 65, batch_size=64, max_length=2048, max_steps=1
    )
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "
    called = trainer.call("-c", f"{limited}runpy.run_module('brightrun_trainer', run_name='__main__')", str(run))

    error = REPORT.validate_json(called.stdout.splitlines()[-1])
    assert isinstance(error, FailedReport), called.stderr[-3000:]
    assert error.error.code == "out_of_memory"
    assert error.error.advice
    assert error.error.advice.startswith("Batch 64 needs about ")
