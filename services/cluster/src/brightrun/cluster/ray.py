"""The executor that trains on a Ray cluster: a job of the Ray Jobs API for each trainer.

Service and trainers meet in the runs' folder, which every node must see at the same path, as it must the trainer's
environment and the base models. Ray places a trainer and says whether it works; everything else is in the folder.
"""

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx
import structlog

from brightrun.cluster import hearing
from brightrun.cluster.errors import StartupError
from brightrun.cluster.executor import Execution, Unreachable
from brightrun.cluster.guards import NICENESS
from brightrun.cluster.local import MODULE, models_in, trainer_of
from brightrun.cluster.models import Hardware, Run
from brightrun.cluster.ray_head import ACCELERATOR, RayHead, RayJob, RayNode
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.settings import Settings
from brightrun.contracts.reports import Report

log = structlog.get_logger()

POLL_SECONDS = 0.3
REPORT_LAG_SECONDS = 15.0
ANY = ""
SHARE_OF_LABEL = 0.001


class RayExecution:
    """A trainer as a Ray job, whether it is placed already or not."""

    def __init__(self, head: RayHead, submission_id: str, folder: RunFolder, launch: int, patience: float) -> None:
        self._head = head
        self._id = submission_id
        self._folder = folder
        self._launch = launch
        self._patience = patience
        self._unreachable_since: float | None = None
        self._killed = False

    async def alive(self) -> bool:
        """Whether Ray knows the job and it is not over; taken for granted for a while if Ray does not answer."""
        try:
            job = (await self._head.jobs()).get(self._id)
        except Unreachable:
            self._unreachable_since = self._unreachable_since or time.monotonic()
            if self._killed or time.monotonic() - self._unreachable_since > self._patience:
                raise
            return True
        self._unreachable_since = None
        return job is not None and not job.over and not (self._killed and job.status == "PENDING")

    async def rest(self) -> None:
        """As long as many runs may ask a shared folder."""
        await asyncio.sleep(POLL_SECONDS)

    def wake(self) -> None:
        """Needless: its rests are short."""

    async def finish(self) -> None:
        """Leave the order in the run's folder."""
        await asyncio.to_thread(self._folder.give_order, self._launch, "finish")

    async def stop(self) -> None:
        """Leave the order in the run's folder: Ray's own way leaves too little time to save.

        One that is not placed has nothing to save, and Ray cannot take it back; the order ends it should it ever start.
        """
        await asyncio.to_thread(self._folder.give_order, self._launch, "checkpoint")
        with suppress(Unreachable):
            job = (await self._head.jobs()).get(self._id)
            if job is not None and job.status == "PENDING":
                await self.kill()

    async def kill(self) -> None:
        """Let Ray end the job; the record of one that is over is deleted."""
        self._killed = True
        with suppress(Unreachable):
            job = (await self._head.jobs()).get(self._id)
            if job is not None and job.over:
                await self._head.delete(self._id)
            elif job is not None:
                await self._head.stop(self._id)

    async def memory_bytes(self) -> int:
        """Not known here."""
        return 0

    async def last_words(self) -> str:
        """What Ray says of the job."""
        with suppress(Unreachable):
            job = (await self._head.jobs()).get(self._id)
            return f"Ray: {job.message}" if job else "Ray does not know the job any more: its head was started anew"
        return ""


class RayExecutor:
    """Runs trainers on the machines of a Ray cluster."""

    name = "ray"
    simulated = False
    queues = True
    outlasts = True

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        if settings.ray_url is None:
            raise StartupError("BRIGHTRUN_RAY_URL is not set: give the address of the Ray head, http://head:8265")
        self._python, self._models = trainer_of(settings, here=False)
        token = settings.ray_token.get_secret_value() if settings.ray_token else None
        self._head = RayHead(http, settings.ray_url, token)
        self._cluster = settings.cluster_name
        self._types = settings.ray_gpu_types or {settings.gpu_type: ANY}
        self.gpu_types = tuple(self._types)
        self._cpus = settings.ray_cpus_per_gpu
        self._patience = settings.patience_seconds
        self._lent: list[tuple[float, dict[str, int]]] = []
        self._run_path = settings.run_path

    async def hardware(self) -> Hardware:
        """The GPUs of the nodes by type, and how many of them others have had for a while.

        Ray's report of what is in use lags behind its jobs; what only a moment seems to be lent is our own.
        """
        nodes, jobs = await self._head.nodes(), await self._head.jobs()
        ours: Counter[str] = Counter()
        for job in jobs.values():
            if self._owns(job) and job.status == "RUNNING":
                ours[(job.metadata or {})["gpu_type"]] += int((job.metadata or {})["gpus"])
        used = self._count(nodes, used=True)
        now = time.monotonic()
        self._lent = [(at, lent) for at, lent in self._lent if now - at < REPORT_LAG_SECONDS]
        self._lent.append((now, {kind: max(0, used[kind] - ours[kind]) for kind in self._types}))
        return Hardware(
            gpus=self._count(nodes, used=False),
            base_models=await asyncio.to_thread(models_in, self._models),
            simulated=False,
            lent={kind: min(lent[kind] for _, lent in self._lent) for kind in self._types},
            elastic=True,
        )

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> RayExecution:
        """Submit the trainer's job. The same launch submitted again is the same job."""
        submission_id = f"{run.id}-{run.launches}"
        gpu = run.request.gpu_config
        label = self._types.get(gpu.type, ANY)
        job = {
            "submission_id": submission_id,
            "entrypoint": self._command(run, folder, resume),
            "entrypoint_num_gpus": 0 if gpu.type == "CPU" else gpu.count,
            "entrypoint_num_cpus": self._cpus * gpu.count,
            "entrypoint_resources": {f"{ACCELERATOR}{label}": SHARE_OF_LABEL} if label else {},
            "metadata": self._metadata(run),
        }
        await self._head.submit(job)
        return self._execution(submission_id)

    async def find(self, run: Run, folder: RunFolder) -> RayExecution | None:
        """The newest of the run's jobs that is not over; none if the run is cancelled before the job is placed."""
        jobs = await self._head.jobs()
        live = [name for name, job in jobs.items() if _run_of(name) == run.id and self._owns(job) and not job.over]
        if not live:
            return None
        newest = max(live, key=_launch_of)
        execution = self._execution(newest)
        if run.cancelling and jobs[newest].status == "PENDING":
            await execution.stop()
            return None
        return execution

    async def at_work(self) -> list[tuple[str, Execution]]:
        """Our jobs, those that are over as well: their records are to be deleted."""
        jobs = await self._head.jobs()
        return [(_run_of(name), self._execution(name)) for name, job in jobs.items() if self._owns(job)]

    async def hear(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """In a thread, as a shared folder may be slow."""
        lines, offset = await asyncio.to_thread(folder.read_output, offset)
        return hearing.parse(lines), offset

    def _execution(self, submission_id: str) -> RayExecution:
        folder = RunFolder(self._run_path(_run_of(submission_id)))
        return RayExecution(self._head, submission_id, folder, _launch_of(submission_id), self._patience)

    def _owns(self, job: RayJob) -> bool:
        return (job.metadata or {}).get("brightrun") == self._cluster

    def _metadata(self, run: Run) -> dict[str, str]:
        gpu = run.request.gpu_config
        return {"brightrun": self._cluster, "gpu_type": gpu.type, "gpus": str(gpu.count)}

    def _command(self, run: Run, folder: RunFolder, resume: bool) -> str:
        """The trainer with an environment of its own: of the node's it gets what follows, and so no secret."""
        gpu = run.request.gpu_config
        threads = max(1, int(self._cpus * gpu.count))
        fixed = {"BRIGHTRUN_MODELS": str(self._models), "OMP_NUM_THREADS": str(threads)}
        fixed |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
        words = [shlex.quote(f"{name}={value}") for name, value in fixed.items()]
        words += [f'{name}="${{{name}-}}"' for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")]
        words.append("CUDA_VISIBLE_DEVICES=" + ("" if gpu.type == "CPU" else '"${CUDA_VISIBLE_DEVICES-}"'))
        trainer = [str(self._python), "-m", MODULE, str(folder.path), "--sync", "--launch", str(run.launches)]
        command = shlex.join(trainer + (["--resume"] if resume else []))
        path = shlex.quote(str(folder.path))
        return (
            f"cd {path} && ulimit -c 0 && exec env -i {' '.join(words)} nice -n {NICENESS} {command}"
            f" >> {folder.out.name} 2>> {folder.log.name}"
        )

    def _count(self, nodes: list[RayNode], used: bool) -> dict[str, int]:
        """GPUs (of CPUs: as many as would be GPUs) of each of our types, in all or in use."""
        return {kind: sum(self._count_on(node, kind, used) for node in nodes) for kind in self._types}

    def _count_on(self, node: RayNode, kind: str, used: bool) -> int:
        amounts: Mapping[str, Any] = node.used if used else node.resources_total
        if kind == "CPU":
            return int(amounts.get("CPU", 0) / self._cpus)
        label = self._types[kind]
        return int(amounts.get("GPU", 0)) if label in (ANY, *node.accelerators()) else 0


def _run_of(submission_id: str) -> str:
    return submission_id.rpartition("-")[0]


def _launch_of(submission_id: str) -> int:
    return int(submission_id.rpartition("-")[2])
