"""Models, tried: what base model and adapter answer, as their cluster says it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from uuid import UUID

import structlog
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from brightrun.artifacts.dependencies import Clusters
from brightrun.artifacts.models.actions import find_stored_model
from brightrun.cluster_client.responses import ABSENT, ClusterError
from brightrun.contracts.errors import GenerationBusy, GenerationUnsupported
from brightrun.contracts.generation import Failed, Generate
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Db
from brightrun.runtime.errors import Unavailable
from brightrun.runtime.tokens import CallerOf

log = structlog.get_logger()

router = APIRouter(prefix="/models")

BROKEN = Failed(
    error=JobError(
        code="generation_broken", message="The cluster broke off.", advice="Ask again in a moment.", retryable=True
    )
)


@router.post("/{model_id}/generate")
async def generate(model_id: UUID, body: Generate, caller: CallerOf, pool: Db, clusters: Clusters) -> StreamingResponse:
    """The answers to a conversation while they come, one JSON object a line."""
    model = await find_stored_model(pool, caller.user, model_id)
    cluster = clusters.get(model.cluster)
    if cluster is None or model.step is not None:
        raise GenerationUnsupported
    async with AsyncExitStack() as opening:
        try:
            lines = await opening.enter_async_context(cluster.generate(model.external_job_id, body))
        except ClusterError as error:
            if error.status in ABSENT:
                raise GenerationUnsupported from None
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise GenerationBusy from None
            log.warning("generation.failed", artifact_id=str(model_id), error=str(error))
            raise Unavailable(str(error)) from error
        opened = opening.pop_all()
    return StreamingResponse(_pass_on(lines, opened), media_type="application/x-ndjson")


async def _pass_on(lines: AsyncIterator[bytes], opened: AsyncExitStack) -> AsyncIterator[bytes]:
    try:
        async with opened:
            async for piece in lines:
                yield piece
    except ClusterError as error:
        log.warning("generation.broken", error=str(error))
        yield b"\n" + BROKEN.model_dump_json().encode() + b"\n"
