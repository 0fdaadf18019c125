"""Stands in for the trainer: the run's data set, one JSON object, says what it shall do.

steps, pace (seconds a step) · hold_at: waits there for the file `go` · die_at: dies there once, in the middle of a
line · die: dies on every start · ignore_stop · fail: an error code · files: names it claims to leave.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

run = Path(sys.argv[1])
resumed = "--resume" in sys.argv
orders = json.loads((run / "data.jsonl").read_text())
checkpoint = run / "checkpoints" / "step"
stopped = False


def say(kind, **report):
    print(json.dumps({"kind": kind, **report}), flush=True)


def on_stop(*_):
    global stopped  # noqa: PLW0603
    stopped = True


def train():
    for step in range(int(checkpoint.read_text()) if checkpoint.exists() else 0, orders.get("steps", 3)):
        say("points", points=[{"step": step + 1, "epoch": 0.5, "training_loss": 2.0}], trained_tokens=(step + 1) * 10)
        checkpoint.write_text(str(step + 1))
        if orders.get("die_at") == step + 1 and not resumed:
            print('{"kind": "poi', end="", flush=True)
            os._exit(9)
        while orders.get("hold_at") == step + 1 and not stopped and not (run / "go").exists():
            time.sleep(0.01)
        time.sleep(orders.get("pace", 0))
        if stopped and not orders.get("ignore_stop"):
            return "stopped"
    return "completed"


signal.signal(signal.SIGTERM, on_stop)
(run / "starts").open("a").write("x")
print("trainer: hello", file=sys.stderr, flush=True)
if orders.get("die"):
    sys.exit(1)
say("stage", stage="loading")
say("stage", stage="tokenizing")
if "fail" in orders:
    say("failed", error={"code": orders["fail"], "message": "It cannot go on."})
    sys.exit(1)
print("a library prints something that is no report", flush=True)
say("plan", total_steps=orders.get("steps", 3), total_epochs=1, examples=8)
say("stage", stage="training")
outcome = train()
(run / "adapter" / "adapter_config.json").write_text('{"r": 16}')
(run / "adapter" / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 40)
files = orders.get("files", ["adapter_config.json", "adapter_model.safetensors"]) if outcome == "completed" else []
metadata = {"environment": sorted(os.environ), "niceness": os.nice(0), "starts": (run / "starts").stat().st_size}
say("finished", outcome=outcome, trained_tokens=30, files=files, metadata=metadata)
