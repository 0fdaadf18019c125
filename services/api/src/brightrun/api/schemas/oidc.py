"""What the identity provider tells, and how its sign-ins are fetched."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from brightrun.api.schemas.accounts import Email, Name
from brightrun.api.schemas.body import Body, example


def _trim(name: Any) -> str:
    """Names are for people: one that we cannot keep is no reason to turn its owner away."""
    return "".join(filter(str.isprintable, str(name or "")))[:200]


def _is_true(told: Any) -> bool:
    return told is True


class Claims(BaseModel):
    """Who has signed in."""

    sub: str
    email: Email | None = None
    email_verified: Annotated[bool, BeforeValidator(_is_true)] = False
    name: Annotated[Name, BeforeValidator(_trim)] = ""

    @property
    def verified_email(self) -> str | None:
        """The address, if the provider knows that it is the user's."""
        return self.email if self.email_verified else None


class FetchToken(Body):
    """The code that came with the browser, and the verifier of the challenge that the sign-in was begun with."""

    model_config = example(
        {"code": "SplxlOBeZQQYbYS6WxSbIA", "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
    )

    code: Annotated[str, Field(max_length=200)]
    verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")]
