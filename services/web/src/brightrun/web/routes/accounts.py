"""Sign in, up and out."""

from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel

from brightrun.runtime.errors import ServiceError, Unavailable
from brightrun.web import pages
from brightrun.web.api import Visitor

router = APIRouter()

Way = Literal["in", "up"]


class Account(BaseModel):
    """The form; only new accounts have a name."""

    email: str
    password: str
    name: str = ""


@router.post("/sign-out")
async def sign_out(request: Request, api: Visitor) -> Response:
    """Revoke the token; the cookie goes even where the API does not answer."""
    with suppress(ServiceError):
        await api.send("POST", "/api/auth/logout")
    request.session.clear()
    return pages.go("/sign-in")


@router.get("/sign-{way}")
async def show_form(request: Request, way: Way) -> Response:
    """The form to sign in, or to sign up."""
    return _form(request, way, account=Account(email="", password=""))


@router.post("/sign-{way}")
async def sign_in(request: Request, api: Visitor, way: Way, account: Annotated[Account, Form()]) -> Response:
    """Keep the token in the cookie, or show the errors."""
    path, excluded = ("/api/auth/register", None) if way == "up" else ("/api/auth/login", {"name"})
    try:
        session = await api.send("POST", path, account.model_dump(exclude=excluded))
    except Unavailable:
        raise
    except ServiceError as error:
        return _form(request, way, error.status, account=account, problems=pages.sentences(error))
    request.session["token"] = session["token"]
    return pages.go("/")


def _form(request: Request, way: Way, status: int = 200, **context: Any) -> Response:
    return pages.render(request, "account.html", status, new=way == "up", **context)
