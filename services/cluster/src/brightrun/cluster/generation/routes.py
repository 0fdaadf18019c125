"""Completions by a run's base model and adapter."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from brightrun.cluster.errors import NotCompleted
from brightrun.cluster.generation.generators import Generators
from brightrun.cluster.runs import actions, admission
from brightrun.cluster.runs.dependencies import ContextOf
from brightrun.contracts.generation import Generate

router = APIRouter()


async def _generators(request: Request) -> Generators:
    return cast("Generators", request.app.state.generators)


GeneratorsOf = Annotated[Generators, Depends(_generators)]


@router.post("/generate/{run_id}", response_class=StreamingResponse)
async def generate(run_id: str, body: Generate, context: ContextOf, generators: GeneratorsOf) -> StreamingResponse:
    """The events of a completion as they come, one JSON object a line: `GenerationEvent` of contracts.generation."""
    run = await context.store.read(actions.get_run, run_id)
    if run.status.status != "completed":
        raise NotCompleted({"status": run.status.status})
    if reason := admission.shortage(context.free_resources(), context.settings.limits()):
        raise reason
    completion = await generators.complete(run, context.folder(run_id), body)
    return StreamingResponse(completion.events(), media_type="application/x-ndjson")
