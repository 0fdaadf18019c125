"""Installs the trainer's Python environment: `python3 trainer/install.py ENV_DIR`.

Needs only Python >= 3.11. With `UV` set to a uv binary, the same steps use uv, which is faster.
A second call with unchanged inputs returns at once.
"""

from __future__ import annotations  # lets an older Python reach the line that names the version needed

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steps import StepError, run, step

TRAINER = Path(__file__).resolve().parent
REPOSITORY = TRAINER.parent
REQUIREMENTS = TRAINER / "requirements.txt"
CUDA_REQUIREMENTS = TRAINER / "requirements-cuda.txt"
TORCH = TRAINER / "torch.txt"
PROJECTS = (REPOSITORY / "libs" / "contracts", REPOSITORY / "libs" / "datasets", TRAINER)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
STEPS = 4
DISK_FULL = "No space left on device"


class Environment:
    """A virtual environment under construction; `install.log` keeps the output of its steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.log = folder / "install.log"
        self.stamp = folder / "install.stamp"
        self.uv = os.environ.get("UV")

    def create(self) -> None:
        """Create it anew: nothing of an earlier or broken one remains."""
        if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / "pyvenv.cfg").exists():
            raise StepError(f"{self.folder} holds other files: give a new folder for the environment")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "pyvenv.cfg").touch()
        if self.uv:
            run([self.uv, "venv", "--allow-existing", "--python", sys.executable, str(self.folder)], self.log)
        else:
            run([sys.executable, "-m", "venv", str(self.folder)], self.log)

    def install(self, *arguments: str, retry: bool = True) -> None:
        """Install packages; `retry=False` gives up early on an index that does not answer."""
        env = dict(os.environ)
        if self.uv:
            command = [self.uv, "pip", "install", "--python", str(self.python)]
            if not retry:
                env |= {"UV_HTTP_TIMEOUT": "15", "UV_HTTP_RETRIES": "1"}
        else:
            command = [str(self.python), "-m", "pip", "install", "--progress-bar", "off"]
            if not retry:
                command += ["--timeout", "15", "--retries", "1"]
        run([*command, *arguments], self.log, env)


def main() -> None:
    """Install what is missing; exits 1 with one line after a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="ENV_DIR", type=Path)
    environment = Environment(parser.parse_args().folder.resolve())
    try:
        if sys.version_info < (3, 11):  # noqa: UP036 - it runs on whatever Python is there
            raise StepError(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
        with exclusive():
            build(environment)
    except StepError as error:
        sys.exit(f"trainer environment: {error}")
    except OSError as error:
        sys.exit(f"trainer environment: {error.strerror or error}: {error.filename or environment.folder}")
    except KeyboardInterrupt:
        sys.exit("trainer environment: interrupted, run this again to go on")


@contextmanager
def exclusive() -> Iterator[None]:
    """Wait until no other installation from this repository runs."""
    with Path(__file__).open() as script:
        try:
            fcntl.flock(script, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("trainer environment: waiting for another installation", flush=True)
            fcntl.flock(script, fcntl.LOCK_EX)
        yield


def build(environment: Environment) -> None:
    """Run the four steps, unless the stamp shows that the same inputs are installed."""
    cpu = needs_cpu_build()
    digest = inputs_digest(cpu)
    if environment.stamp.exists() and environment.stamp.read_text() == digest:
        return
    started = time.monotonic()
    with step(f"[1/{STEPS}] virtual environment in {environment.folder}"):
        environment.create()
    install_torch(environment, cpu)
    files = requirement_files(cpu)
    pins = sum(1 for file in files for line in file.read_text().splitlines() if "==" in line)
    with step(f"[3/{STEPS}] {pins} pinned packages of {', '.join(file.name for file in files)}"):
        environment.install(*(part for file in files for part in ("-r", str(file))))
    with step(f"[4/{STEPS}] BrightRun's trainer and libraries"):
        environment.install("--no-deps", *(part for project in PROJECTS for part in ("-e", str(project))))
    environment.stamp.write_text(digest)
    print(f"trainer environment: ready in {time.monotonic() - started:.0f} s", flush=True)


def install_torch(environment: Environment, cpu: bool) -> None:
    """Install PyTorch; without a GPU its CPU build, which is a tenth of the size, from the first source that has it."""
    requirement = ("-r", str(TORCH))
    wheels = os.environ.get("PIP_FIND_LINKS", "").split()
    sources: list[tuple[str, tuple[str, ...]]] = []
    if cpu and wheels:
        links = tuple(part for place in wheels for part in ("--find-links", place))
        sources.append(("CPU build, local wheel folder", ("--no-index", "--no-deps", *links)))
    if cpu:
        sources.append(("CPU build, PyTorch's index", ("--no-deps", "--index-url", CPU_INDEX)))
    for name, options in sources:
        try:
            with step(f"[2/{STEPS}] PyTorch ({name})"):
                environment.install(*options, *requirement, retry=False)
            return
        except StepError as error:
            if DISK_FULL in environment.log.read_text(errors="replace"):
                raise
            print(f"      not available: {error}", flush=True)
    if cpu:
        print("      WARNING: no CPU build found, the default one may bring CUDA (some 3 GB)", flush=True)
    with step(f"[2/{STEPS}] PyTorch (default build)"):
        environment.install(*requirement)


def needs_cpu_build() -> bool:
    """Whether this is a Linux machine without an NVIDIA GPU."""
    return sys.platform == "linux" and not Path("/dev/nvidia0").exists() and shutil.which("nvidia-smi") is None


def requirement_files(cpu: bool) -> tuple[Path, ...]:
    """The lists of pinned packages; those for 4-bit weights and GPU utilization only where there may be GPUs."""
    return (REQUIREMENTS,) if cpu or sys.platform != "linux" else (REQUIREMENTS, CUDA_REQUIREMENTS)


def inputs_digest(cpu: bool) -> str:
    """A digest of everything that decides the environment's content."""
    digest = hashlib.sha256(f"{sys.version} {REPOSITORY} {cpu}".encode())
    for path in (*requirement_files(cpu), TORCH, *(project / "pyproject.toml" for project in PROJECTS)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
