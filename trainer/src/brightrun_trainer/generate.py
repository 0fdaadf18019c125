"""Answers conversations with a base model and an adapter, which stay loaded between them.

`python -m brightrun_trainer.generate ADAPTER_DIR --base NAME` reads one JSON request a line on standard input and
answers each with JSON lines on standard output; both are described in brightrun.contracts.generation. It ends when its
input does, or after `--idle` seconds without a request.
"""

import argparse
import os
import queue
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from brightrun.contracts.generation import Done, Failed, Finished, Generate, GenerationEvent, Loading, Side, Token
from brightrun.contracts.training import JobError
from brightrun_trainer.failures import TrainingFailure, explain
from brightrun_trainer.imports import uncollected

if TYPE_CHECKING:
    from brightrun_trainer.speaker import Speaker


PIECE_BYTES = 1 << 16


class Speech:
    """Standard output as it was when the process began; whatever else is printed goes to standard error."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def send(self, said: GenerationEvent) -> None:
        """Write one whole line. Raises BrokenPipeError if nobody listens any more."""
        line = said.model_dump_json().encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]


def main() -> None:
    """Serve requests until nobody asks any more."""
    parser = argparse.ArgumentParser(prog="brightrun_trainer.generate", description=__doc__)
    parser.add_argument("folder", metavar="ADAPTER_DIR", type=Path)
    parser.add_argument("--base", required=True, help="folder in BRIGHTRUN_MODELS, path, or name on the model hub")
    parser.add_argument("--revision", help="the base model's revision on the hub")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without a request after which it ends")
    parser.add_argument("--seconds", type=float, default=60.0, help="the longest that an answer may take")
    arguments = parser.parse_args()
    speech = Speech()
    speaker: Speaker | None = None
    for line in _requests(arguments.idle):
        try:
            request = Generate.model_validate_json(line)
            speaker = speaker or _load(arguments, speech)
            _answer(speaker, request, arguments.seconds, speech)
        except ValidationError as error:
            speech.send(Failed(error=_invalid(error)))
        except BrokenPipeError:
            return
        except Exception as error:
            if not isinstance(error, TrainingFailure):
                traceback.print_exc()
            speech.send(Failed(error=explain(error)))


def _load(arguments: argparse.Namespace, speech: Speech) -> "Speaker":
    speech.send(Loading())
    # Takes seconds: a request that is no good is answered before.
    with uncollected():
        from brightrun_trainer.speaker import Speaker  # noqa: PLC0415

    return Speaker(arguments.folder, arguments.base, arguments.revision)


def _answer(speaker: "Speaker", request: Generate, seconds: float, speech: Speech) -> None:
    began = time.monotonic()

    def tell(side: Side, text: str) -> None:
        speech.send(Token(side=side, text=text))

    prompt_tokens, said = speaker.answer(request, seconds, tell)
    for side, saying in said.items():
        speech.send(Finished(side=side, tokens=saying.tokens, reason=saying.reason))
    speech.send(Done(prompt_tokens=prompt_tokens, seconds=round(time.monotonic() - began, 3)))


def _requests(idle: float) -> Iterator[bytes]:
    """The lines of standard input, until it ends or is silent for `idle` seconds."""
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        rest = b""
        # Not from sys.stdin, whose lock a waiting thread would hold when the process wants to end.
        while piece := os.read(0, PIECE_BYTES):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=idle)
        except queue.Empty:
            return
        if line is None:
            return
        if line.strip():
            yield line


def _invalid(error: ValidationError) -> JobError:
    fields = ", ".join(".".join(map(str, item["loc"])) or item["msg"] for item in error.errors())
    return JobError(code="request_invalid", message=f"The request is not valid: {fields}.", advice="Correct it.")


if __name__ == "__main__":
    main()
