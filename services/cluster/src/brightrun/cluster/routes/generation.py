"""Models, tried: what a run's base model and adapter answer to a conversation."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from brightrun.cluster import actions, admission
from brightrun.cluster.errors import NotCompleted
from brightrun.cluster.routes.parameters import ClusterOf
from brightrun.contracts.generation import Generate

router = APIRouter()


@router.post("/generate/{run_id}", response_class=StreamingResponse)
async def generate(run_id: str, body: Generate, cluster: ClusterOf) -> StreamingResponse:
    """The answers to a conversation while they come, one JSON object a line, as contracts.generation has them."""
    run = await cluster.store.read(actions.get, run_id)
    if run.status.status != "completed":
        raise NotCompleted({"status": run.status.status})
    if reason := admission.shortage(await cluster.room(), cluster.settings.limits()):
        raise reason
    answer = await cluster.facilities.generators.answer(run, cluster.folder(run_id), body)
    return StreamingResponse(answer.lines(), media_type="application/x-ndjson")
