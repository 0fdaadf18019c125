"""Unknown GPU types are reported together with all other problems of a request."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from brightrun.api.pricing import queries
from brightrun.api.pricing.prices import unknown_gpu
from brightrun.runtime.database import Connection, Pool
from brightrun.runtime.http import BoundedRoute

FIELD = ("gpu_config", "type")


class GpuCheckedRoute(BoundedRoute):
    """A route whose body has a `gpu_config`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, which also checks the GPU type of a body with other problems."""
        handle = super().get_route_handler()

        async def handle_checked(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                found = list(error.errors())
                gpu_type = _type_of(error.body)
                if gpu_type is not None and ("body", *FIELD) not in [problem["loc"] for problem in found]:
                    problems = await find_problems(request.app.state.pool, gpu_type)
                    found += [{"loc": ("body", path), "msg": text, "type": "gpu"} for path, (text,) in problems.items()]
                raise RequestValidationError(found, body=error.body) from None

        return handle_checked


async def find_problems(conn: Connection | Pool, gpu_type: str) -> dict[str, list[str]]:
    """The problem of an inactive GPU type, by its path; none of an active one."""
    gpus = await queries.list_gpus(conn)
    return {} if any(gpu.type == gpu_type for gpu in gpus) else unknown_gpu(gpus)


def _type_of(body: Any) -> str | None:
    for name in FIELD:
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else None
