"""What clients are told that repeat every answer of 409 by themselves, as OpenAI's does."""

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Conflicts:
    """Says of every conflict that a repetition will not solve it, unless the answer says when one would."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete its answer."""

        async def send_with_advice(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.CONFLICT:
                headers = MutableHeaders(scope=message)
                if "retry-after" not in headers:
                    headers["x-should-retry"] = "false"
            await send(message)

        await self._app(scope, receive, send_with_advice)
