"""`python3 trainer/gpu_check OUT [--wheels FOLDER] [--seconds N] [--smallest]`: proves the trainer on this machine.

Trains base models of 0.5, 1.5 and 8 B parameters with random weights and writes measurements beside the estimates to
OUT/gpu.json, after each check, so that a run that is cut off leaves what it has. Needs PyTorch, Transformers, PEFT and
accelerate, and no network: other packages come from FOLDER, as wheels (`make gpu-wheels` fills .gpu-wheels).
`--smallest` runs one check of each kind with a tiny network, on a CPU as well.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from checks import TOO_LARGE, Training, on_gpu, smallest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
SOURCES = [HERE.parent / "src", *(REPOSITORY / "libs" / name / "src" for name in ("contracts", "datasets"))]
STEPS, WARM_STEPS = 8, 2
CURVE_STEPS = 40
MAX_EXAMPLES = 64
SECONDS, LEAST_SECONDS = 470.0, 20.0

Result = dict[str, Any]


class Check:
    """The folder that everything runs in, the time that is left, and the results so far."""

    def __init__(self, work: Path, out: Path, seconds: float, packages: Path | None) -> None:
        self.work, self.out = work, out
        self.deadline = time.monotonic() + seconds
        self.results: dict[str, Result] = {}
        self.first: Path | None = None
        """The run folder of the first training, whose adapter answers."""
        paths = [str(path) for path in ([packages] if packages else []) + SOURCES]
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*paths, str(REPOSITORY)]),
            "BRIGHTRUN_MODELS": str(work),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def record(self, name: str, run: Callable[[], Result]) -> None:
        """Run one check; a failure of the check itself is a result as well."""
        began = time.monotonic()
        if self.left < LEAST_SECONDS:
            result: Result = {"outcome": "skipped", "reason": "no time left"}
        else:
            try:
                result = run()
            except subprocess.TimeoutExpired:
                result = {"outcome": "skipped", "reason": "cut off at the end of the time"}
            except Exception as error:
                result = {"outcome": "broken", "reason": f"{type(error).__name__}: {error}"[-2000:]}
        self.results[name] = result | {"seconds": round(time.monotonic() - began, 1)}
        print(f"{name}: {json.dumps(self.results[name])[:300]}", flush=True)
        self.write()

    def write(self) -> None:
        machine = {"python": platform.python_version(), "system": platform.platform()} | self.results.get("machine", {})
        checks = {name: result for name, result in self.results.items() if name != "machine"}
        (self.out / "gpu.json").write_text(json.dumps({"machine": machine, "checks": checks}, indent=1))

    def python(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [sys.executable, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=max(self.left, 1),
            check=False,
        )

    def make_model(self, name: str, weights: bool = False) -> str:
        folder = self.work / (f"{name}-weights" if weights else name)
        if not (folder / "tokenizer_config.json").exists():
            made = self.python(str(HERE / "models.py"), str(folder), name, *(["--weights"] if weights else []))
            if made.returncode:
                raise RuntimeError(made.stderr[-1500:])
        return folder.name

    def run_folder(self, training: Training, **spec: Any) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.work, prefix="run-"))
        base: dict[str, Any] = {
            "base_model": self.make_model(training.model, training.weights),
            "max_steps": STEPS,
            "batch_size": 4,
        }
        resolved = base | training.spec | spec
        count = min(2 * resolved["batch_size"] * resolved["max_steps"], max(MAX_EXAMPLES, resolved["batch_size"]))
        (folder / "data.jsonl").write_text("\n".join(example(resolved, number) for number in range(count)))
        (folder / "spec.json").write_text(json.dumps(resolved))
        return folder

    def request(self, training: Training, folder: Path, *options: str) -> list[str]:
        replaced = {"dtype": training.dtype, "checkpointing": training.checkpointing}
        request = {
            "module": "brightrun_trainer",
            "arguments": [str(folder), *options],
            "measure": str(folder / "measured.json"),
            **{name: value for name, value in replaced.items() if value is not None},
        }
        return [str(HERE / "child.py"), json.dumps(request)]


def example(spec: dict[str, Any], number: int) -> str:
    """An example longer than `max_length`, so that every batch is full."""
    question = {"role": "user", "content": f"Tell me about number {number}."}
    answer = {"role": "assistant", "content": f"{number} " + "chain wheel " * spec.get("max_length", 1024)}
    if spec.get("method") == "dpo":
        other = {"role": "assistant", "content": f"{number} " + "saddle fork " * spec.get("max_length", 1024)}
        pair = {"preferred_output": [answer], "non_preferred_output": [other]}
        return json.dumps({"input": {"messages": [question]}, **pair})
    return json.dumps({"messages": [question, answer]})


def reports_of(output: str) -> list[Result]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def points_of(reports: list[Result]) -> list[Result]:
    return [point for report in reports if report["kind"] == "points" for point in report["points"]]


def train(check: Check, training: Training) -> Result:
    """Measurements of a training beside the estimates."""
    folder = check.run_folder(training)
    called = check.python(*check.request(training, folder))
    reports = reports_of(called.stdout)
    if not reports or reports[-1]["kind"] != "finished":
        error = reports[-1].get("error") if reports else None
        return {"outcome": "failed", "error": error, "log": "" if error else called.stderr[-1500:]}
    points = points_of(reports)
    result = {
        "outcome": reports[-1]["outcome"],
        "steps": len(points),
        "losses": [points[0]["training_loss"], points[-1]["training_loss"]],
        "tokens_per_second": statistics.median(point["tokens_per_second"] for point in points[WARM_STEPS:]),
        "gpu_utilization": points[-1].get("gpu_utilization"),
        **json.loads((folder / "measured.json").read_text()),
    }
    if check.first is None:
        check.first = folder
    else:
        shutil.rmtree(folder)
    return result


def stop_and_resume(check: Check, training: Training) -> Result:
    """A stopped and resumed training against one that was not stopped: the curve, and the time that the stop took."""
    spec = {"max_steps": CURVE_STEPS}
    whole = points_of(reports_of(check.python(*check.request(training, check.run_folder(training, **spec))).stdout))
    folder = check.run_folder(training, **spec)
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *check.request(training, folder)],
        env=check.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines: list[str] = []
    stopped_at = None
    for line in process.stdout or ():
        lines.append(line)
        if stopped_at is None and points_of(reports_of(line)):
            process.send_signal(signal.SIGTERM)
            stopped_at = time.monotonic()
    process.wait(timeout=max(check.left, 1))
    seconds = None if stopped_at is None else round(time.monotonic() - stopped_at, 2)
    first = reports_of("".join(lines))
    resumed = reports_of(check.python(*check.request(training, folder, "--resume")).stdout)
    curve = {point["step"]: point["training_loss"] for point in points_of([*first, *resumed])}
    differences = [abs(curve[point["step"]] - point["training_loss"]) for point in whole]
    return {
        "outcome": resumed[-1]["kind"] if resumed else "failed",
        "stopped": first[-1].get("outcome"),
        "seconds_to_stop": seconds,
        "largest_difference": max(differences),
    }


def run_out_of_memory(check: Check, training: Training) -> Result:
    """The error of a training that does not fit: its code and its advice."""
    folder = check.run_folder(training, **TOO_LARGE, max_steps=1)
    reports = reports_of(check.python(*check.request(training, folder)).stdout)
    return {"outcome": reports[-1]["kind"], "error": reports[-1].get("error")}


def generate(check: Check, training: Training) -> Result:
    """Base model and the first training's adapter answer side by side."""
    if check.first is None:
        return {"outcome": "skipped", "reason": "no training has left an adapter"}
    arguments = [str(check.first / "adapter"), "--base", check.make_model(training.model)]
    request = json.dumps({"module": "brightrun_trainer.generate", "arguments": arguments})
    question = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16})
    answered = reports_of(check.python(str(HERE / "child.py"), request, stdin=f"{question}\n").stdout)
    ends = {event["side"]: event["tokens"] for event in answered if event["kind"] == "finished"}
    return {"outcome": answered[-1]["kind"], "tokens": ends, "generation_seconds": answered[-1].get("seconds")}


def peers(check: Check, model: str) -> Result:
    """Tokens a second of Transformers' Trainer with PEFT, and of TRL, on one base model and the same conversations."""
    training = Training("peer", model, {"max_length": 256}, weights=True)
    folder = check.run_folder(training)
    setup: dict[str, Any] = {
        "model": str(check.work / check.make_model(model, weights=True)),
        "data": str(folder / "data.jsonl"),
    }
    setup |= {"folder": str(folder / "out"), "steps": STEPS, "batch_size": 4, "warm_steps": WARM_STEPS, "rank": 16}
    rates: Result = {"brightrun": train(check, training).get("tokens_per_second")}
    for peer in ("transformers", "trl"):
        script = str(REPOSITORY / "benchmarks" / "train_peer.py")
        called = check.python("-P", script, peer, json.dumps(setup | {"max_length": 256}))
        if called.returncode:
            return {"outcome": "failed", "peer": peer, "log": called.stderr[-1500:]}
        rates[peer] = json.loads(called.stdout.splitlines()[-1])["tokens_per_second"]
    return {"outcome": "completed", "tokens_per_second": rates}


def describe_machine(check: Check) -> Result:
    script = (
        "import json, torch; from importlib.metadata import version; gpu = torch.cuda.is_available();"
        "print(json.dumps({'gpu': torch.cuda.get_device_name() if gpu else None, 'cuda': torch.version.cuda,"
        "'gpu_bytes': torch.cuda.mem_get_info()[1] if gpu else None,"
        "'versions': {name: version(name) for name in ('torch', 'transformers', 'peft', 'trl', 'accelerate')}}))"
    )
    called = check.python("-c", script)
    if called.returncode:
        raise RuntimeError(called.stderr[-1500:])
    return {"outcome": "completed"} | dict(json.loads(called.stdout.splitlines()[-1]))


def install(wheels: Path, target: Path) -> Path:
    """The carried packages, and what makes our own code a package with a version."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*command, *map(str, sorted(wheels.glob("*.whl")))], check=True)  # noqa: S603
    own = target / "brightrun_trainer-0.1.0.dist-info"
    own.mkdir()
    (own / "METADATA").write_text("Metadata-Version: 2.1\nName: brightrun-trainer\nVersion: 0.1.0\n")
    return target


def main() -> None:
    """Run the checks in the order of their importance; exits 1 if one failed or broke."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--smallest", action="store_true")
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as work:
        packages = install(arguments.wheels, Path(work, "packages")) if arguments.wheels else None
        check = Check(Path(work), out, arguments.seconds, packages)
        check.record("machine", lambda: describe_machine(check))
        first, *others = smallest() if arguments.smallest else on_gpu()
        check.record(first.name, lambda: train(check, first))
        check.record("stop and resume", lambda: stop_and_resume(check, first))
        check.record("generate", lambda: generate(check, first))
        for training in others:
            check.record(training.name, partial(train, check, training))
        if not arguments.smallest:
            check.record("out of memory", lambda: run_out_of_memory(check, Training("8b", "8b")))
            check.record("peers", lambda: peers(check, first.model))
    sys.exit(any(result.get("outcome") in ("failed", "broken") for result in check.results.values()))


if __name__ == "__main__":
    main()
