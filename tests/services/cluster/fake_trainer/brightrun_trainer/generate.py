"""Stands in for the process that answers: the last message, one JSON object, says what it shall do.

say: the pieces of text · hold: waits for the file `go` in the run's folder before it is done · die: before it is done.
"""

import json
import os
import sys
import time
from pathlib import Path

adapter = Path(sys.argv[1])
run = adapter.parent


def say(kind, **told):
    print(json.dumps({"kind": kind, **told}, separators=(",", ":")), flush=True)


(run / "speakers").open("a").write("x")
say("loading")
for line in sys.stdin:
    request = json.loads(line)
    orders = json.loads(request["messages"][-1]["content"])
    for text in orders.get("say", []):
        say("token", side="adapter", text=text)
    if orders.get("die"):
        os._exit(9)
    while orders.get("hold") and not (run / "spoken").exists():
        time.sleep(0.01)
    say("token", side="base", text=" ".join(sys.argv[2:]) + f" {os.environ['CUDA_VISIBLE_DEVICES']!r}")
    say("token", side="base", text=",".join(sorted(os.environ)))
    say("done", prompt_tokens=3, seconds=0.1)
