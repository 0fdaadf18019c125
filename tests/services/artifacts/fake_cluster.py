"""A cluster at the edge of the world: real sockets, files as the test wants them, faults on demand."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from brightrun.contracts.cluster_api import ClusterFile, RunArtifacts, RunCheckpoint, RunCheckpoints
from tests.builders import NOON

KEY = "the-key-of-the-cluster"


class FakeCluster:
    """Gives the same files for every run: announces `files`, and sends `sent` where that differs."""

    def __init__(self) -> None:
        self.files = {"adapter_config.json": b'{"r": 16}', "adapter_model.safetensors": bytes(range(256)) * 50_000}
        self.sent: dict[str, bytes] = {}
        self.metadata: dict[str, Any] = {}
        self.down = False
        self.announces_digests = True
        self.offer: dict[str, Any] | None = None
        """The whole answer, in place of ours."""
        self.downloads: Counter[str] = Counter()
        self.refuses_generation: int | None = None
        """The status that it refuses with."""
        self.said: list[bytes | None] = [b'{"kind":"done","prompt_tokens":3,"seconds":0.1}\n']
        """The pieces of an answer; a None breaks the connection."""
        self.asked: list[Any] = []
        self.app = FastAPI()
        self.app.add_api_route("/training/artifacts/{run}", self.artifacts)
        self.checkpoints: dict[str, list[int]] = {}
        """The steps of the checkpoints of each run that it knows."""
        self.features: dict[str, Any] = {"gpu_types": [], "checkpoints": True}
        self.app.add_api_route("/training/checkpoints/{run}", self.list_checkpoints)
        self.app.add_api_route("/training/checkpoints/{run}/{step}", self.checkpoint)
        self.app.add_api_route("/training/capabilities", self.capabilities)
        self.app.add_api_route("/files/{name:path}", self.file)
        self.app.add_api_route("/training/generate/{run}", self.generate, methods=["POST"])

    async def artifacts(self, run: str, request: Request) -> Response:
        if self.down:
            return Response(status_code=500)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Response(status_code=401)
        if self.offer is not None:
            return JSONResponse(self.offer)
        announced = tuple(
            ClusterFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in self.files.items()
        )
        offer = RunArtifacts(
            download_urls={name: f"/files/{name}" for name in self.files},
            model_metadata=self.metadata,
            files=announced if self.announces_digests else (),
        )
        return Response(offer.model_dump_json(), media_type="application/json")

    async def list_checkpoints(self, run: str) -> Response:
        if self.down:
            return Response(status_code=500)
        if run not in self.checkpoints:
            return Response(status_code=404)
        found = [RunCheckpoint(step=step, saved_at=NOON, size=9, kept_until=NOON) for step in self.checkpoints[run]]
        return Response(RunCheckpoints(checkpoints=tuple(found)).model_dump_json(), media_type="application/json")

    async def checkpoint(self, run: str, step: int, request: Request) -> Response:
        if step not in self.checkpoints.get(run, []):
            return Response(status_code=404)
        return await self.artifacts(run, request)

    async def capabilities(self) -> dict[str, Any]:
        return {"name": "fake", "version": "1", "executor": "fake"} | self.features

    async def generate(self, run: str, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Response(status_code=401)
        if self.refuses_generation:
            return Response(status_code=self.refuses_generation)
        self.asked.append(await request.json())

        async def pieces() -> AsyncIterator[bytes]:
            for piece in self.said:
                if piece is None:
                    raise ConnectionError("broken on purpose")
                yield piece

        return StreamingResponse(pieces(), media_type="application/x-ndjson")

    async def file(self, name: str) -> Response:
        """Announces the length of the right content, then sends `sent`; a shorter one breaks the connection."""
        self.downloads[name] += 1
        content = self.sent.get(name, self.files[name])

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(content), 1 << 16):
                yield content[start : start + (1 << 16)]

        return StreamingResponse(pieces(), headers={"content-length": str(len(self.files[name]))})
