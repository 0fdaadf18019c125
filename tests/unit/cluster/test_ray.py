"""Requests to a Ray head and what its responses mean; `tests/services/cluster/test_cluster_ray.py` has a real one."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from brightrun.cluster.errors import StartupError
from brightrun.cluster.executors.executor import StartFailed, Unreachable
from brightrun.cluster.executors.ray import RayExecutor
from brightrun.cluster.executors.ray_head import RayHead
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Run
from brightrun.cluster.runs import rules
from brightrun.cluster.settings import Settings
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id, utc_now

TOKEN = "a-token-of-ray"


class FakeHead:
    """Answers as Ray 2.60 does."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.nodes: list[dict[str, Any]] = []
        self.used: dict[str, dict[str, list[float]]] = {}
        self.submitted: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.fails: int | Exception | None = None

    def add_node(self, name: str, used_gpus: float = 0, **resources: float) -> None:
        total = {key.replace("accelerator_type_", "accelerator_type:"): value for key, value in resources.items()}
        self.nodes.append({"node_id": name, "state": "ALIVE", "resources_total": total, "labels": {}})
        self.used[name] = {"GPU": [used_gpus, total.get("GPU", 0)], "CPU": [0.0, total.get("CPU", 0)]}

    def add_job(self, name: str, status: str, **metadata: str) -> None:
        self.jobs.append(
            {
                "submission_id": name,
                "status": status,
                "message": "so it is",
                "metadata": metadata or None,
                "type": "SUBMISSION",
            }
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        self.requests.append(f"{request.method} {request.url.path}")
        if isinstance(self.fails, Exception):
            raise self.fails
        if self.fails:
            return httpx.Response(self.fails, text="Traceback\nValueError: it is broken\n.\n")
        match request.method, request.url.path:
            case "GET", "/api/jobs/":
                return httpx.Response(
                    200, json=[*self.jobs, {"type": "DRIVER", "submission_id": None, "status": "RUNNING"}]
                )
            case "GET", "/api/v0/nodes":
                return httpx.Response(200, json={"data": {"result": {"result": self.nodes}}})
            case "GET", "/api/cluster_status":
                report = {"loadMetricsReport": {"usageByNode": self.used}}
                return httpx.Response(200, json={"data": {"clusterStatus": report}})
            case "POST", "/api/jobs/":
                self.submitted.append(json.loads(request.content))
        return httpx.Response(200, json={})


@pytest.fixture
def head() -> FakeHead:
    return FakeHead()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "config.json").touch()
    return Settings(
        port=1,
        cluster_home=tmp_path / "a home",
        cluster_key="k" * 16,
        callback_secret="s",
        cluster_name="ours",
        trainer_python=tmp_path / "python",
        models=tmp_path / "models",
        ray_url="http://head:8265/",
        ray_token=TOKEN,
        ray_gpu_types={"H100": "H100", "V100-32GB": "V100", "CPU": ""},
        ray_cpus_per_gpu=2,
    )


@pytest.fixture
def executor(head: FakeHead, settings: Settings) -> RayExecutor:
    return executor_of(settings, head.answer)


def executor_of(
    settings: Settings, respond: Callable[[httpx.Request], httpx.Response], **options: float
) -> RayExecutor:
    http = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    return RayExecutor(settings, RayHead(http, settings, **options))


def launched(kind: str = "H100", count: int = 1, launches: int = 1) -> Run:
    request = SubmitRun(
        job_id=new_id(),
        dataset_url="http://data",
        gpu_config=GpuConfig(type=kind, count=count),
        hyperparameters=TrainingSpec(),
    )
    run = rules.submitted("run_1", request, (0,), simulated=False)
    for _ in range(launches):
        run = rules.launch(run, utc_now(), 9, queues=True)
    return run


def folder(settings: Settings) -> RunFolder:
    return RunFolder(settings.run_path("run_1"))


async def test_gpus_are_counted_by_type_on_the_nodes_that_are_alive(executor: RayExecutor, head: FakeHead) -> None:
    head.add_node("a", GPU=8, CPU=64, accelerator_type_H100=1)
    head.add_node("b", GPU=4, CPU=31, accelerator_type_H100=1)
    head.add_node("c", GPU=2, CPU=9, accelerator_type_A100=1)
    head.add_node("d", GPU=8, CPU=64, accelerator_type_V100=1)
    head.nodes[-1]["state"] = "DEAD"
    hardware = await executor.hardware()
    assert hardware.gpus == {"H100": 12, "V100-32GB": 0, "CPU": 32 + 15 + 4}
    assert hardware.base_models == ("tiny",)
    assert hardware.max_gpus == {}


async def test_an_autoscaler_adds_nodes_for_what_is_submitted(head: FakeHead, settings: Settings) -> None:
    executor = executor_of(settings.model_copy(update={"ray_max_gpus": {"H100": 16, "CPU": 4}}), head.answer)
    head.add_node("a", GPU=0, CPU=64)
    assert (await executor.hardware()).gpus == {"H100": 16, "V100-32GB": 0, "CPU": 32}


async def test_gpus_of_others_are_not_free(executor: RayExecutor, head: FakeHead) -> None:
    head.add_node("a", GPU=8, CPU=64, accelerator_type_H100=1, used_gpus=5)
    head.add_job("run_1-1", "RUNNING", brightrun="ours", gpu_type="H100", gpus="2")
    head.add_job("run_2-1", "PENDING", brightrun="ours", gpu_type="H100", gpus="2")
    head.add_job("run_3-1", "RUNNING", brightrun="theirs", gpu_type="H100", gpus="1")
    assert (await executor.hardware()).used_by_others["H100"] == 3


async def test_a_report_that_lags_behind_our_own_jobs_is_not_others_use(settings: Settings, head: FakeHead) -> None:
    executor = executor_of(settings, head.answer, nodes_fresh_seconds=0)
    head.add_node("a", GPU=8, CPU=64, accelerator_type_H100=1, used_gpus=0)
    assert (await executor.hardware()).used_by_others["H100"] == 0
    head.used["a"]["GPU"][0] = 2  # of a run of ours that has just ended
    assert (await executor.hardware()).used_by_others["H100"] == 0


async def test_a_trainer_is_a_job_with_its_gpus_on_nodes_of_its_type(
    executor: RayExecutor, head: FakeHead, settings: Settings
) -> None:
    await executor.start(launched(count=2, launches=3), folder(settings), resume=True)
    (job,) = head.submitted
    assert job["submission_id"] == "run_1-3"
    assert (job["entrypoint_num_gpus"], job["entrypoint_num_cpus"]) == (2, 4)
    assert list(job["entrypoint_resources"]) == ["accelerator_type:H100"]
    assert job["metadata"] == {"brightrun": "ours", "gpu_type": "H100", "gpus": "2"}
    await executor.start(launched("CPU"), folder(settings), resume=False)
    assert (head.submitted[1]["entrypoint_num_gpus"], head.submitted[1]["entrypoint_resources"]) == (0, {})


async def test_the_command_gives_the_trainer_its_gpus_and_nothing_of_the_nodes_secrets(
    executor: RayExecutor, head: FakeHead, settings: Settings, tmp_path: Path
) -> None:
    here = folder(settings)
    here.prepare(TrainingSpec())
    (tmp_path / "python").write_text('#!/bin/sh\nenv; echo "$@"; echo failed >&2\n')
    (tmp_path / "python").chmod(0o755)
    await executor.start(launched(), here, resume=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/h", "CUDA_VISIBLE_DEVICES": "3,5", "AWS_SECRET_ACCESS_KEY": "x y"}
    command = ["/bin/sh", "-c", head.submitted[0]["entrypoint"]]
    await asyncio.to_thread(subprocess.run, command, check=True, env=environment)
    lines = here.output.read_text().splitlines()
    names = {line.partition("=")[0] for line in lines[:-1]}
    assert "CUDA_VISIBLE_DEVICES=3,5" in lines
    assert "OMP_NUM_THREADS=2" in lines
    assert not names & {"AWS_SECRET_ACCESS_KEY"}
    assert lines[-1] == f"-m brightrun_trainer {here.path} --sync --launch 1 --resume"
    assert here.log.read_text() == "failed\n"


async def test_a_job_that_was_submitted_before_counts_as_submitted(head: FakeHead, settings: Settings) -> None:
    def known(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            500, text="ValueError: Job with submission_id run_1-1 already exists. Please use another."
        )

    executor = executor_of(settings, known)
    await executor.start(launched(), folder(settings), resume=False)


async def test_a_rejection_and_no_answer_are_different_errors(
    executor: RayExecutor, head: FakeHead, settings: Settings
) -> None:
    head.fails = 500
    with pytest.raises(StartFailed, match="it is broken"):
        await executor.start(launched(), folder(settings), resume=False)
    head.fails = httpx.ConnectError("refused")
    with pytest.raises(Unreachable):
        await executor.start(launched(), folder(settings), resume=False)


@pytest.mark.parametrize(
    ("status", "alive"),
    [("PENDING", True), ("RUNNING", True), ("SUCCEEDED", False), ("FAILED", False), ("STOPPED", False), (None, False)],
)
async def test_a_trainer_lives_as_long_as_its_job(
    executor: RayExecutor, head: FakeHead, settings: Settings, status: str | None, alive: bool
) -> None:
    execution = await executor.start(launched(), folder(settings), resume=False)
    if status:
        head.add_job("run_1-1", status, brightrun="ours")
    assert await execution.is_alive() is alive
    error = await execution.exit_error()
    assert error
    assert ("so it is" if status else "started anew") in error.message
    found = await executor.find(launched(), folder(settings))
    assert (found is not None) is alive


async def test_a_silent_head_is_waited_for_until_a_deadline(head: FakeHead, settings: Settings) -> None:
    patient, impatient = [
        await executor_of(settings.model_copy(update={"patience_seconds": seconds}), head.answer).start(
            launched(), folder(settings), resume=False
        )
        for seconds in (600, -1)
    ]
    head.fails = 503
    assert await patient.is_alive()
    with pytest.raises(Unreachable):
        await impatient.is_alive()


@pytest.mark.parametrize("answer", ["[]", "nonsense", '{"data": null}', '[{"status": 5}]'])
async def test_an_unreadable_answer_counts_as_no_answer(settings: Settings, answer: str) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=answer)

    with pytest.raises(Unreachable):
        await executor_of(settings, respond).hardware()


async def test_concurrent_reads_are_one_request(executor: RayExecutor, head: FakeHead, settings: Settings) -> None:
    executions = [await executor.start(launched(), folder(settings), resume=False) for _ in range(5)]
    head.requests.clear()
    await asyncio.gather(*(execution.is_alive() for execution in executions))
    assert head.requests == ["GET /api/jobs/"]


async def test_a_pending_job_is_stopped_and_would_end_at_once(
    executor: RayExecutor, head: FakeHead, settings: Settings
) -> None:
    folder(settings).prepare(TrainingSpec())
    execution = await executor.start(launched(), folder(settings), resume=False)
    head.add_job("run_1-1", "PENDING", brightrun="ours")
    await execution.stop()
    assert not await execution.is_alive()
    assert folder(settings).stop_request.read_text() == "1 checkpoint"
    assert "POST /api/jobs/run_1-1/stop" in head.requests
    assert await executor.find(rules.cancel(launched()), folder(settings)) is None


async def test_only_our_own_jobs_are_stopped_and_deleted(executor: RayExecutor, head: FakeHead) -> None:
    head.add_job("run_1-1", "SUCCEEDED", brightrun="ours")
    head.add_job("run_2-1", "RUNNING", brightrun="ours")
    head.add_job("run_3-1", "RUNNING", brightrun="theirs")
    head.add_job("raysubmit_x", "RUNNING")
    for _, execution in await executor.list_executions():
        await execution.kill()
    assert [request for request in head.requests if not request.startswith("GET")] == [
        "DELETE /api/jobs/run_1-1",
        "POST /api/jobs/run_2-1/stop",
    ]


def test_the_address_of_the_head_is_required(settings: Settings) -> None:
    with pytest.raises(StartupError, match="BRIGHTRUN_RAY_URL"):
        RayHead(httpx.AsyncClient(), settings.model_copy(update={"ray_url": None}))
