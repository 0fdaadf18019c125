"""What routes depend on."""

import hmac
from typing import Annotated, cast

from fastapi import Depends, Request

from brightrun.cluster.runs.run_context import RunContext
from brightrun.cluster.runs.supervisor import Supervisor
from brightrun.runtime.errors import Unauthorized


async def _context(request: Request) -> RunContext:
    return cast("RunContext", request.app.state.context)


async def _supervisor(request: Request) -> Supervisor:
    return cast("Supervisor", request.app.state.supervisor)


ContextOf = Annotated[RunContext, Depends(_context)]
SupervisorOf = Annotated[Supervisor, Depends(_supervisor)]


async def check_key(request: Request, context: ContextOf) -> None:
    """Raises Unauthorized unless the request brings the cluster's key."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    expected = context.settings.cluster_key.get_secret_value()
    if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), expected.encode()):
        raise Unauthorized
