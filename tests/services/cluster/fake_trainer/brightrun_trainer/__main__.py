"""Stands in for the trainer: the run's data set, one JSON object, is its script. Standard library only: it is
started often.

steps, pace (seconds a step) · hold_at: waits there for the file `go` · die_at: dies there once, in the middle of a
line · die: dies on every start · signal: dies by that
signal on every start · ignore_stop, ignore_finish · fail: an error code · files: names it claims to leave ·
grow: how many MiB of memory it takes · log: lines it logs ·
last_words: a line of its log.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

run = Path(sys.argv[1])
launch = sys.argv[sys.argv.index("--launch") + 1]
resumed = "--resume" in sys.argv
script = json.loads((run / "data.jsonl").read_text())
checkpoints = run / "checkpoints"
stopped = False


def report(kind, **fields):
    print(json.dumps({"kind": kind, **fields}), flush=True)


def on_stop(*_):
    global stopped  # noqa: PLW0603
    stopped = True


def last_step():
    return max((int(path.name.rpartition("-")[2]) for path in checkpoints.glob("checkpoint-*")), default=0)


def save(step):
    folder = checkpoints / f"checkpoint-{step}"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"r": 16}')
    (folder / "adapter_model.safetensors").write_bytes(bytes([step % 256]) * 700)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    for old in checkpoints.glob("checkpoint-*"):
        if old != folder:
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
    report("checkpoint", step=step, path=f"checkpoints/{folder.name}", seconds=0.125)


def finishing():
    request = run / "order"
    return not script.get("ignore_finish") and request.exists() and request.read_text() == f"{launch} finish"


def train():
    first = last_step() if resumed else 0
    for step in range(first + 1, script.get("steps", 3) + 1):
        report("points", points=[{"step": step, "epoch": 0.5, "training_loss": 2.0}], trained_tokens=step * 10)
        save(step)
        if script.get("die_at") == step and not resumed:
            print('{"kind": "poi', end="", flush=True)
            os._exit(9)
        while script.get("hold_at") == step and not (stopped or finishing() or (run / "go").exists()):
            time.sleep(0.01)
        time.sleep(script.get("pace", 0))
        if stopped and not script.get("ignore_stop"):
            return "stopped"
        if finishing():
            return "completed"
    return "completed"


signal.signal(signal.SIGTERM, on_stop)
(run / "starts").open("a").write("x")
print("trainer: hello", file=sys.stderr, flush=True)
if "last_words" in script:
    print(script["last_words"], file=sys.stderr, flush=True)
for number in range(script.get("log", 0)):
    print(f"line {number}", file=sys.stderr, flush=True)
if "signal" in script:
    os.kill(os.getpid(), script["signal"])
if script.get("die"):
    sys.exit(1)
report("stage", stage="loading", message="the stand-in")
report("stage", stage="tokenizing")
if "fail" in script:
    report("failed", error={"code": script["fail"], "message": "It cannot go on."})
    sys.exit(1)
print("a library prints something that is no report", flush=True)
report("plan", total_steps=script.get("steps", 3), total_epochs=1, examples=8)
report("stage", stage="training")
ballast = b"x" * (script.get("grow", 0) << 20)
outcome = train()
(run / "adapter" / "adapter_config.json").write_text('{"r": 16}')
(run / "adapter" / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 40)
files = script.get("files", ["adapter_config.json", "adapter_model.safetensors"])
limits = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in ("CORE", "NOFILE", "FSIZE")}
metadata = {
    "environment": dict(os.environ),
    "niceness": os.nice(0),
    "limits": limits,
    "leader": os.getsid(0) == os.getpid() == os.getpgid(0),
    "starts": (run / "starts").stat().st_size,
}
if finishing():
    metadata["stopped_early"] = True
report("finished", outcome=outcome, trained_tokens=30, files=files, metadata=metadata)
