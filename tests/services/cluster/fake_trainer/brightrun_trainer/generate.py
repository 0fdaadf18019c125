"""Stands in for the process that generates: the last message, one JSON object, is its script.

say: the pieces of text · hold: waits for the file `go` in the run's folder before it is done · die: before it is done.
"""

import json
import os
import sys
import time
from pathlib import Path

adapter = Path(sys.argv[1])
run = adapter.parent


def send(kind, **fields):
    print(json.dumps({"kind": kind, **fields}, separators=(",", ":")), flush=True)


(run / "starts-of-generate").open("a").write("x")
send("loading")
for line in sys.stdin:
    request = json.loads(line)
    script = json.loads(request["messages"][-1]["content"])
    for text in script.get("say", []):
        send("token", side="adapter", text=text)
    if script.get("die"):
        os._exit(9)
    while script.get("hold") and not (run / "spoken").exists():
        time.sleep(0.01)
    send("token", side="base", text=" ".join(sys.argv[2:]) + f" {os.environ['CUDA_VISIBLE_DEVICES']!r}")
    send("token", side="base", text=",".join(sorted(os.environ)))
    send("done", prompt_tokens=3, seconds=0.1)
