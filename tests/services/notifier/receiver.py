"""A user's HTTP server that receives webhooks, and answers as it is told."""

from dataclasses import dataclass, field

from openai import OpenAI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def unwrap(self, secret: str):
        """The event as OpenAI's client verifies and parses it."""
        return OpenAI(api_key="unused").webhooks.unwrap(self.body, self.headers, secret=secret)


@dataclass
class Receiver:
    """Remembers what it received; answers the statuses in `answers` first, then 200."""

    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        self.received.append(Received(request.method, path, dict(request.headers), await request.body()))
        status = self.answers.pop(0) if self.answers else 200
        await Response(status_code=status, headers=self.headers)(scope, receive, send)
