"""Answers conversations with a base model and an adapter, which stay loaded between requests.

`python -m brightrun_trainer.generate ADAPTER_DIR --base NAME` reads one JSON request a line on standard input and
answers each with JSON lines on standard output; brightrun.contracts.generation describes both. It ends when its input
does, or after `--idle` seconds without a request.
"""

import argparse
import os
import select
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from brightrun.contracts.generation import Done, Failed, Finished, Generate, Loading, Side, Token
from brightrun.contracts.training import JobError
from brightrun_trainer.process.failures import TrainingFailure, explain, invalid_fields
from brightrun_trainer.process.imports import without_garbage_collection
from brightrun_trainer.process.reporting import Reporter

if TYPE_CHECKING:
    from brightrun_trainer.delivery.inference import AdapterModel

READ_BYTES = 1 << 16


def main() -> None:
    """Serve requests until the input ends or none comes for a while."""
    parser = argparse.ArgumentParser(prog="brightrun_trainer.generate", description=__doc__)
    parser.add_argument("folder", metavar="ADAPTER_DIR", type=Path)
    parser.add_argument("--base", required=True, help="folder in BRIGHTRUN_MODELS, path, or name on the Hub")
    parser.add_argument("--revision", help="the base model's revision on the Hub")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without a request after which it ends")
    parser.add_argument("--seconds", type=float, default=60.0, help="the longest time that an answer may take")
    arguments = parser.parse_args()
    output = Reporter()
    model: AdapterModel | None = None
    for line in _requests(arguments.idle):
        try:
            request = Generate.model_validate_json(line)
            model = model or _load(arguments, output)
            _answer(model, request, arguments.seconds, output)
        except ValidationError as error:
            message = f"The request is not valid: {invalid_fields(error)}."
            output.send(Failed(error=JobError(code="request_invalid", message=message, advice="Correct it.")))
        except BrokenPipeError:
            return
        except Exception as error:
            if not isinstance(error, TrainingFailure):
                traceback.print_exc()
            output.send(Failed(error=explain(error)))


def _load(arguments: argparse.Namespace, output: Reporter) -> "AdapterModel":
    output.send(Loading())
    # Takes seconds: an invalid request is answered before.
    with without_garbage_collection():
        from brightrun_trainer.delivery.inference import AdapterModel  # noqa: PLC0415

    return AdapterModel(arguments.folder, arguments.base, arguments.revision)


def _answer(model: "AdapterModel", request: Generate, seconds: float, output: Reporter) -> None:
    began = time.monotonic()

    def send_token(side: Side, text: str) -> None:
        output.send(Token(side=side, text=text))

    prompt_tokens, completions = model.answer(request, seconds, send_token)
    for side, completion in completions.items():
        output.send(Finished(side=side, tokens=completion.tokens, reason=completion.reason))
    output.send(Done(prompt_tokens=prompt_tokens, seconds=round(time.monotonic() - began, 3)))


def _requests(idle: float) -> Iterator[bytes]:
    """The lines of standard input, until it ends or is silent for `idle` seconds."""
    rest = b""
    while select.select([0], [], [], idle)[0] and (data := os.read(0, READ_BYTES)):
        *lines, rest = (rest + data).split(b"\n")
        yield from filter(bytes.strip, lines)


if __name__ == "__main__":
    main()
