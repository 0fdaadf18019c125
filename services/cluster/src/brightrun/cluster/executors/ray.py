"""The executor that trains on a Ray cluster: a job of the Ray Jobs API for each trainer.

Service and trainers meet in the runs' folder, which every node must see at the same path, as it must the trainer's
environment and the base models. Ray places a trainer and reports whether it works; everything else is in the folder.
"""

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from brightrun.cluster.errors import run_lost
from brightrun.cluster.executors import report_parser
from brightrun.cluster.executors.executor import Execution, Unreachable
from brightrun.cluster.executors.ray_head import ACCELERATOR, RayHead, RayJob, RayNode
from brightrun.cluster.executors.trainer import MODULE, NICENESS, base_models_in, fixed_variables, trainer_paths
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Hardware, Run
from brightrun.cluster.settings import Settings
from brightrun.contracts.reports import Report
from brightrun.contracts.training import JobError

REPORT_LAG_SECONDS = 15.0
ANY_GPU = ""
SHARE_OF_LABEL = 0.001


class RayExecution(Execution):
    """A trainer as a Ray job, placed or pending."""

    poll_seconds = 0.3

    def __init__(self, head: RayHead, submission_id: str, folder: RunFolder, launch: int, max_silence: float) -> None:
        super().__init__()
        self._head = head
        self._id = submission_id
        self._folder = folder
        self._launch = launch
        self._max_silence = max_silence
        self._unreachable_since: float | None = None
        self._killed = False

    async def is_alive(self) -> bool:
        """Whether Ray knows the job and it is not over; assumed for `max_silence` seconds if Ray does not answer."""
        try:
            job = await self._job()
        except Unreachable:
            self._unreachable_since = self._unreachable_since or time.monotonic()
            if self._killed or time.monotonic() - self._unreachable_since > self._max_silence:
                raise
            return True
        self._unreachable_since = None
        return job is not None and not job.over and not (self._killed and job.status == "PENDING")

    async def finish(self) -> None:
        await asyncio.to_thread(self._folder.request_stop, self._launch, "finish")

    async def stop(self) -> None:
        """Write the request into the run's folder: Ray's own way leaves too little time to save.

        A pending job has nothing to save, and Ray cannot take it back; the request ends it should it ever start.
        """
        await asyncio.to_thread(self._folder.request_stop, self._launch, "checkpoint")
        with suppress(Unreachable):
            job = await self._job()
            if job is not None and job.status == "PENDING":
                await self.kill()

    async def kill(self) -> None:
        """Let Ray end the job; the record of one that is over is deleted."""
        self._killed = True
        with suppress(Unreachable):
            job = await self._job()
            if job is not None and job.over:
                await self._head.delete(self._id)
            elif job is not None:
                await self._head.stop(self._id)

    async def exit_error(self) -> JobError | None:
        with suppress(Unreachable):
            job = await self._job()
            if job is None:
                return run_lost("Ray does not know the job any more: its head was started anew.")
            return run_lost(f"Ray: {job.message}")
        return None

    async def _job(self) -> RayJob | None:
        return (await self._head.jobs()).get(self._id)


class RayExecutor:
    name = "ray"
    max_gpus: Mapping[str, int] = MappingProxyType({})
    simulated = False
    queues = True
    outlasts = True

    def __init__(self, settings: Settings, head: RayHead) -> None:
        self._python, self._models = trainer_paths(settings, runs_here=False)
        self._head = head
        self._cluster = settings.cluster_name
        self._types = settings.ray_gpu_types or {settings.gpu_type: ANY_GPU}
        self.gpu_types = tuple(self._types)
        self._grows_to = settings.ray_max_gpus
        self._cpus = settings.ray_cpus_per_gpu
        self._max_silence = settings.patience_seconds
        self._others: list[tuple[float, dict[str, int]]] = []  # when others had how many GPUs of which type
        self._run_path = settings.run_path

    async def hardware(self) -> Hardware:
        """The GPUs of the nodes by type, or those that an autoscaler adds, and how many others have had for a while.

        Ray's report of what is in use lags behind its jobs: what others seem to use for a moment only is our own.
        """
        nodes, jobs = await self._head.nodes(), await self._head.jobs()
        ours: Counter[str] = Counter()
        for job in jobs.values():
            if self._owns(job) and job.status == "RUNNING":
                ours[job.metadata["gpu_type"]] += int(job.metadata["gpus"])
        used = self._count(nodes, used=True)
        now = time.monotonic()
        self._others = [(at, gpus) for at, gpus in self._others if now - at < REPORT_LAG_SECONDS]
        self._others.append((now, {kind: max(0, used[kind] - ours[kind]) for kind in self._types}))
        return Hardware(
            gpus={kind: max(count, self._grows_to.get(kind, 0)) for kind, count in self._count(nodes).items()},
            base_models=await asyncio.to_thread(base_models_in, self._models),
            simulated=False,
            used_by_others={kind: min(gpus[kind] for _, gpus in self._others) for kind in self._types},
        )

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> RayExecution:
        """Submit the trainer's job. The same launch submitted again is the same job."""
        submission_id = f"{run.id}-{run.launches}"
        gpu = run.request.gpu_config
        label = self._types.get(gpu.type, ANY_GPU)
        job = {
            "submission_id": submission_id,
            "entrypoint": self._command(run, folder, resume),
            "entrypoint_num_gpus": 0 if gpu.type == "CPU" else gpu.count,
            "entrypoint_num_cpus": self._cpus * gpu.count,
            "entrypoint_resources": {f"{ACCELERATOR}{label}": SHARE_OF_LABEL} if label else {},
            "metadata": {"brightrun": self._cluster, "gpu_type": gpu.type, "gpus": str(gpu.count)},
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

    async def list_executions(self) -> list[tuple[str, Execution]]:
        """The jobs of this cluster, also those that are over: their records are to be deleted."""
        jobs = await self._head.jobs()
        return [(_run_of(name), self._execution(name)) for name, job in jobs.items() if self._owns(job)]

    async def read_reports(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """In a thread, as a shared folder may be slow."""
        return await asyncio.to_thread(report_parser.read_reports, folder, offset)

    def _execution(self, submission_id: str) -> RayExecution:
        folder = RunFolder(self._run_path(_run_of(submission_id)))
        return RayExecution(self._head, submission_id, folder, _launch_of(submission_id), self._max_silence)

    def _owns(self, job: RayJob) -> bool:
        return job.metadata.get("brightrun") == self._cluster

    def _command(self, run: Run, folder: RunFolder, resume: bool) -> str:
        """The trainer with an environment of its own: of the node's it gets a few variables, and so no secret."""
        gpu = run.request.gpu_config
        threads = max(1, int(self._cpus * gpu.count))
        fixed = fixed_variables(self._models) | {"OMP_NUM_THREADS": str(threads)}
        words = [shlex.quote(f"{name}={value}") for name, value in fixed.items()]
        words += [f'{name}="${{{name}-}}"' for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")]
        words.append("CUDA_VISIBLE_DEVICES=" + ("" if gpu.type == "CPU" else '"${CUDA_VISIBLE_DEVICES-}"'))
        trainer = [str(self._python), "-m", MODULE, str(folder.path), "--sync", "--launch", str(run.launches)]
        command = shlex.join(trainer + (["--resume"] if resume else []))
        path = shlex.quote(str(folder.path))
        return (
            f"cd {path} && ulimit -c 0 && exec env -i {' '.join(words)} nice -n {NICENESS} {command}"
            f" >> {folder.output.name} 2>> {folder.log.name}"
        )

    def _count(self, nodes: list[RayNode], *, used: bool = False) -> Counter[str]:
        """GPUs (of CPUs: as many as would be GPUs) of each of our types, in all or in use."""
        counts = Counter(dict.fromkeys(self._types, 0))
        for node in nodes:
            amounts = node.used if used else node.resources_total
            for kind, label in self._types.items():
                if kind == "CPU":
                    counts[kind] += int(amounts.get("CPU", 0) / self._cpus)
                elif label in (ANY_GPU, *node.accelerators()):
                    counts[kind] += int(amounts.get("GPU", 0))
        return counts


def _run_of(submission_id: str) -> str:
    return submission_id.rpartition("-")[0]


def _launch_of(submission_id: str) -> int:
    return int(submission_id.rpartition("-")[2])
