"""Each cause of a failure has a code of its own, advice, and says whether another try may succeed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.reports import REPORT, FailedReport, PointsReport
from tests.trainer.runs import Trainer, preferences, run_folder

pytestmark = pytest.mark.xdist_group("trainer")

EARLIER = "0198f2c4-7d3a-7c52-9d55-0a1b2c3d4e5f"
INJECT = """
import resource, runpy, sys
import torch
from brightrun_trainer.training.trainers import ConversationTrainer

compute = ConversationTrainer.training_step

def step(trainer, *arguments, **options):
    if trainer.state.global_step == 2:
        {fault}
    return compute(trainer, *arguments, **options)

ConversationTrainer.training_step = step
sys.argv = ["brightrun_trainer", sys.argv[1]]
runpy.run_module("brightrun_trainer", run_name="__main__", alter_sys=True)
"""


def chat(*messages: str) -> str:
    roles = ("user", "assistant") if len(messages) % 2 == 0 else ("user", "user", "assistant")
    turns = [{"role": roles[index % len(roles)], "content": text} for index, text in enumerate(messages)]
    return json.dumps({"messages": turns})


SHORT, LONG = chat("How?", "So."), chat("gear " * 400, "So.")
UNWEIGHTED = SHORT.replace('"So."', '"So.", "weight": 0')
PAIR = json.loads(preferences(1))
LONG_PAIR = json.dumps(PAIR | {"input": {"messages": [{"role": "user", "content": "gear " * 400}]}})


HEADER = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
NOT_FINITE = len(HEADER).to_bytes(8, "little") + HEADER + b"\0\0\xc0\x7f"


def adapter(files: dict[str, bytes]) -> Callable[[Path], None]:
    """Puts the files of an earlier adapter into a run's folder."""

    def prepare(folder: Path) -> None:
        (folder / "init_adapter").mkdir()
        for name, content in files.items():
            (folder / "init_adapter" / name).write_bytes(content)

    return prepare


def validation(*lines: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / "validation.jsonl").write_text("\n".join(lines))

    return prepare


@dataclass(frozen=True)
class Cause:
    """A run that fails, by its spec, data, folder or a fault in its third step; and what is reported of it."""

    code: str
    words: str
    spec: dict[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = (SHORT,) * 8
    prepare: Callable[[Path], None] | None = None
    fault: str | None = None
    retryable: bool = False


def init_from(files: dict[str, bytes]) -> dict[str, Any]:
    return {"spec": {"init_from": EARLIER}, "prepare": adapter(files)}


CAUSES = {
    "a tokenizer larger than the embedding": Cause(
        "tokenizer_unfit",
        "has 2,049 tokens, but the model's embedding has only 2,048",
        {"base_model": "larger_tokenizer"},
    ),
    "no end token": Cause(
        "tokenizer_unfit", "no end-of-sequence token", {"base_model": "endless", "chat_template": "plain"}
    ),
    "quantized weights": Cause("base_model_unreadable", "quantized cannot be loaded", {"base_model": "quantized"}),
    "torn weights": Cause("base_model_unreadable", "torn cannot be loaded", {"base_model": "torn"}),
    "training examples too long": Cause(
        "data_empty", "of the 3 training examples: 3 are longer than 64 tokens", {"max_length": 64}, (LONG,) * 3
    ),
    "validation examples too long": Cause(
        "data_empty",
        "of the 2 validation examples: 2 are longer than 64 tokens",
        {"max_length": 64},
        prepare=validation(LONG, LONG),
    ),
    "held-out examples too long": Cause(
        "data_empty",
        "of the 6 validation examples: 6 are longer than 64 tokens",
        {"max_length": 64, "validation_split": 0.5, "seed": 1},
        (SHORT, *(LONG,) * 11),
    ),
    "pairs too long": Cause(
        "data_empty",
        "of the 4 training pairs: 4 are longer than 64 tokens, and none has two answers that differ",
        {"max_length": 64, "method": "dpo"},
        (LONG_PAIR,) * 4,
    ),
    "nothing to learn": Cause("data_unreadable", "line 1: $.messages: every assistant message", data=(UNWEIGHTED,) * 8),
    "a conversation that the template rejects": Cause(
        "conversation_refused",
        "data.jsonl, line 4: the chat template rejects a conversation of user, user, assistant",
        {"base_model": "refusing"},
        (SHORT, "", SHORT, chat("Hi.", "How?", "So."), SHORT),
    ),
    "a validation conversation that the template rejects": Cause(
        "conversation_refused",
        "validation.jsonl, line 2",
        {"base_model": "refusing"},
        prepare=validation(SHORT, chat("Hi.", "How?", "So.")),
    ),
    "no adapter to start from": Cause("init_adapter_missing", "needs adapter_config.json", **init_from({})),
    "a torn adapter": Cause(
        "init_adapter_unreadable",
        "damaged",
        **init_from({"adapter_config.json": b"{}", "adapter_model.safetensors": b"\x10\0\0\0\0\0\0\0{"}),
    ),
    "an adapter whose configuration is a list": Cause(
        "init_adapter_unreadable",
        "holds no object",
        **init_from({"adapter_config.json": b"[]", "adapter_model.safetensors": b"\x02\0\0\0\0\0\0\0{}"}),
    ),
    "an adapter of numbers that are not finite": Cause(
        "init_adapter_unreadable",
        "not finite, such as a",
        **init_from({"adapter_config.json": b"{}", "adapter_model.safetensors": NOT_FINITE}),
    ),
    "a full disk": Cause(
        "disk_full", "disk is full", fault="torch.save(torch.zeros(1 << 20), '/dev/full')", retryable=True
    ),
    "a file beyond the limit": Cause(
        "file_too_large",
        "larger than the cluster allows",
        {"save_steps": 3},
        fault="resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))",
    ),
    "mixed number types": Cause(
        "dtype_mismatch", "mixes number types", fault="torch.ones(2, 2) @ torch.ones(2, 2, dtype=torch.bfloat16)"
    ),
    "no memory on the GPU": Cause(
        "out_of_memory",
        "does not fit",
        fault="raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total ...')",
    ),
    "no memory on the GPU in a driver's call": Cause(
        "out_of_memory", "does not fit", fault="raise RuntimeError('CUDA error: out of memory')"
    ),
    "no memory on the machine": Cause("out_of_memory", "does not fit", fault="torch.empty(1 << 50)"),
    "a time-out of NCCL": Cause(
        "gpu_timeout",
        "waited too long",
        fault="raise torch.distributed.DistBackendError('[Rank 0] Watchdog caught collective operation timeout: "
        "WorkNCCL(SeqNum=7, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600018 milliseconds before timing out.')",
        retryable=True,
    ),
    "a GPU that PyTorch does not support": Cause(
        "gpu_unsupported",
        "does not support its GPU",
        fault="raise RuntimeError('CUDA error: no kernel image is available for execution on the device')",
    ),
    "a broken GPU": Cause(
        "gpu_error", "A GPU", fault="raise RuntimeError('CUDA error: unspecified launch failure')", retryable=True
    ),
    "an unknown error": Cause("trainer_error", "KeyError: 'x'", fault="raise KeyError('x')", retryable=True),
}


@pytest.mark.parametrize("name", CAUSES)
def test_a_failure_names_its_cause(unusual: Trainer, tmp_path: Path, name: str) -> None:
    cause = CAUSES[name]
    folder = run_folder(tmp_path / "run", data="\n".join(cause.data), **{"max_steps": 4} | cause.spec)
    if cause.prepare:
        cause.prepare(folder)
    if cause.fault:
        called = unusual.call("-c", INJECT.format(fault=cause.fault), str(folder))
        reports = [REPORT.validate_json(line) for line in called.stdout.splitlines()]
        steps = [point.step for report in reports if isinstance(report, PointsReport) for point in report.points]
        assert steps[:2] == [1, 2], "the steps before the failure are reported"
    else:
        reports = unusual.run(folder).reports
    failed = reports[-1]
    assert isinstance(failed, FailedReport)
    assert (failed.error.code, failed.error.retryable) == (cause.code, cause.retryable), failed.error
    assert cause.words in failed.error.message
    assert failed.error.advice


def test_a_tokenizer_without_end_takes_that_of_the_model(unusual: Trainer, tmp_path: Path) -> None:
    outcome = unusual.run(run_folder(tmp_path / "run", base_model="end_in_config", chat_template="plain", max_steps=2))
    assert outcome.finished.outcome == "completed"
    config = json.loads((tmp_path / "run" / "adapter" / "tokenizer_config.json").read_text())
    assert config["eos_token"] == "<|end|>"


def test_the_same_error_reads_the_same_in_every_process(unusual: Trainer, tmp_path: Path) -> None:
    fault = "raise KeyError(object())"
    messages = set()
    for number in range(2):
        called = unusual.call("-c", INJECT.format(fault=fault), str(run_folder(tmp_path / str(number), max_steps=3)))
        messages.add(json.loads(called.stdout.splitlines()[-1])["error"]["message"])
    assert len(messages) == 1
