"""`make test-vllm`: vLLM, started as the README of an adapter says, gives the answers that the platform has shown."""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.trainer.runs import REPOSITORY, Trainer, run_folder

VLLM = REPOSITORY / ".vllm-venv" / "bin"
SMALL = ["--max-model-len", "512", "--enforce-eager", "--host", "127.0.0.1"]
START_SECONDS = 300


def command_of_readme(adapter: Path, base: str, models: Path) -> list[str]:
    """The README's command with the paths of this machine."""
    (line,) = re.findall("```sh\n(vllm serve .*?)\n```", (adapter / "README.md").read_text(), re.DOTALL)
    words = shlex.split(line.replace("\\\n", "").replace("path/to/this/folder", str(adapter)))
    assert words[:3] == ["vllm", "serve", base]
    return [str(VLLM / "vllm"), "serve", str(models / base), *words[3:]]


@contextmanager
def served(command: list[str], log: Path) -> Iterator[str]:
    """The URL of vLLM once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "PATH": f"{VLLM}:{os.environ['PATH']}"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *SMALL, "--port", port], env=os.environ | variables, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(1)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/models").is_success
    except httpx.HTTPError:
        return False


def test_vllm_gives_the_answers_of_the_comparison(unusual: Trainer, tmp_path: Path) -> None:
    """With the same number type; the base model's texts end with another token than the template's turns."""
    folder = run_folder(tmp_path / "run", base_model="two_ends", chat_template="chatml", max_steps=120)
    samples = unusual.run(folder).finished.metadata["samples"]
    models = Path(unusual.environment["BRIGHTRUN_MODELS"])
    command = command_of_readme(folder / "adapter", "two_ends", models)
    with served(command, tmp_path / "vllm.log") as url:
        answers = [ask(url, sample["messages"]) for sample in samples]
    assert [answer["message"]["content"] for answer in answers] == [sample["adapter"] for sample in samples]
    assert "stop" in {answer["finish_reason"] for answer in answers}


def ask(url: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    body = {"model": "adapter", "messages": messages, "temperature": 0, "max_tokens": 120}
    response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120)
    response.raise_for_status()
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice
