"""Errors as pages, or as JSON for the pages' own script."""

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from brightrun.runtime.errors import ServiceError, Unauthorized
from brightrun.runtime.http import error_response, field_errors
from brightrun.web import pages

log = structlog.get_logger()

HANDLED = (ServiceError, RequestValidationError, HTTPException, Exception)


async def show_error(request: Request, error: Exception) -> Response:
    """The page of an error. A visitor who is not signed in is redirected to the sign-in page."""
    status, lines = _explain(error)
    if "application/json" in request.headers.get("accept", ""):
        return error_response(status, " ".join(lines), "refused")
    if isinstance(error, Unauthorized):
        request.session.clear()
        return pages.go("/sign-in")
    return pages.render(request, "error.html", status, lines=lines, again=status >= 500 and request.method == "GET")


def _explain(error: Exception) -> tuple[int, list[str]]:
    match error:
        case ServiceError():
            return error.status, pages.sentences(error)
        case RequestValidationError():
            return 400, [f"{path}: {text}" for path, texts in field_errors(error).items() for text in texts]
        case HTTPException(status_code=404):
            return 404, ["There is no such page."]
        case HTTPException():
            return error.status_code, [str(error.detail)]
        case _:
            log.error("request.failed", exc_info=error)
            return 500, ["Something went wrong on our side. It is in our log; please try again."]
