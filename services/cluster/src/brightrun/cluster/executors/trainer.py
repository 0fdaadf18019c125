"""The trainer's environment on this machine: its Python, the base models, and what its processes may know and take."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from brightrun.cluster.errors import StartupError
from brightrun.cluster.settings import Settings

MODULE = "brightrun_trainer"
FORWARDED_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
NICENESS = 5
MAX_OPEN_FILES = 65_536
OOM_SCORE = 500
"""Makes the kernel kill trainers before services when memory runs out."""


def trainer_paths(settings: Settings, runs_here: bool = True) -> tuple[Path, Path]:
    """The trainer's Python, which must exist if it `runs_here`, and the folder of base models. Raises StartupError."""
    if settings.trainer_python is None or (runs_here and not os.access(settings.trainer_python, os.X_OK)):
        raise StartupError(
            f"BRIGHTRUN_TRAINER_PYTHON is {settings.trainer_python or 'not set'}: give the Python of the trainer's "
            "environment (trainer/install.py makes one), or set BRIGHTRUN_EXECUTOR=simulated"
        )
    if settings.models is None or not settings.models.is_dir():
        raise StartupError(
            f"BRIGHTRUN_MODELS is {settings.models or 'not set'}: give the folder of base models "
            "(python -m brightrun_trainer.tiny FOLDER/tiny makes one)"
        )
    return settings.trainer_python.absolute(), settings.models.absolute()


def base_models_in(folder: Path) -> tuple[str, ...]:
    """The folders with a model in them, by their path: `tiny`, `meta-llama/Llama-3.2-1B`."""
    configs = [*folder.glob("[!.]*/config.json"), *folder.glob("[!.]*/*/config.json")]
    return tuple(sorted(config.parent.relative_to(folder).as_posix() for config in configs))


def fixed_variables(models: Path) -> dict[str, str]:
    """The variables of every process of the trainer, wherever it runs. A base model that is missing fails at once."""
    return {
        "BRIGHTRUN_MODELS": str(models),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


def environment(models: Path, devices: str) -> dict[str, str]:
    """Little of the service's environment, and so none of its secrets; `devices` as `CUDA_VISIBLE_DEVICES`."""
    forwarded = {name: os.environ[name] for name in FORWARDED_VARIABLES if name in os.environ}
    return forwarded | fixed_variables(models) | {"CUDA_VISIBLE_DEVICES": devices}


def confine(process: psutil.Process, max_file_bytes: int) -> None:
    """Lower a new trainer's priority, limit its files, and let it be the first to be killed when memory runs out."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: max_file_bytes,
    }
    with suppress(psutil.NoSuchProcess):
        process.nice(NICENESS)
        for kind, limit in limits.items():
            hard_limit = process.rlimit(kind)[1]
            bound = limit if hard_limit == resource.RLIM_INFINITY else min(limit, hard_limit)
            process.rlimit(kind, (bound, bound))
    with suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(OOM_SCORE))


def count_oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since it started; 0 where it does not say."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def memory_of_session(leader: int) -> int:
    """The resident memory of a trainer and of its workers, in bytes."""
    return sum(_memory_of_members(leader))


def _memory_of_members(leader: int) -> Iterator[int]:
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == leader:
                yield int(process.memory_info().rss)
