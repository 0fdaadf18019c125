"""Webhook events are sent: one POST for each, to an address that was checked after the only look-up of its host."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import httpcore
import httpx
import structlog

from brightrun.contracts.values import utc_now
from brightrun.notifier.models import Endpoint, Reply, WebhookEvent
from brightrun.notifier.rules.addresses import ForbiddenAddress, Target, check_addresses, check_target
from brightrun.notifier.rules.webhook_events import headers_of
from brightrun.notifier.secret_box import SecretBox, UnreadableSecret

log = structlog.get_logger()

TIMEOUT_SECONDS = 10.0

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host; raises OSError or UnicodeError where it has none."""


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order of the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class WebhookSender:
    """Sends events; a host is resolved once for each, and only the addresses that were checked are connected to."""

    def __init__(
        self,
        secret_box: SecretBox,
        private_hosts: Collection[str],
        resolve: Resolve = resolve_host,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._secret_box = secret_box
        self._private_hosts = private_hosts
        self._timeout_seconds = timeout_seconds
        self._network = _CheckedNetwork(private_hosts, resolve)
        self._tls = httpx.create_ssl_context()

    async def check(self, url: str) -> None:
        """Raise ForbiddenAddress when nothing may be sent to `url`, as its host is resolved now."""
        target = Target.of(url)
        check_target(target, self._private_hosts)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._network.resolve(target.host, target.port)
        except (OSError, UnicodeError):
            raise ForbiddenAddress("the host has no address") from None

    async def send(self, endpoint: Endpoint, event: WebhookEvent) -> Reply:
        """POST the event once; never raises. Redirects are not followed, and bodies of responses are not read."""
        started = time.monotonic()
        status, retry_after = None, None
        try:
            headers = headers_of(event.event_id, event.body, self._secrets(endpoint), utc_now())
            async with asyncio.timeout(self._timeout_seconds):
                status, retry_after = await self._exchange(Target.of(endpoint.url), headers, event.body)
            error = None if 200 <= status < 300 else f"answered {status}"
        except Exception as failure:
            error = self._explain(failure)
        return Reply(status, int((time.monotonic() - started) * 1000), error, retry_after)

    def _secrets(self, endpoint: Endpoint) -> list[str]:
        """The secrets that sign now; an old secret that cannot be read is left out."""
        newest, *older = endpoint.signing_secrets(utc_now())
        secrets = [self._secret_box.open(newest)]
        for sealed in older:
            with contextlib.suppress(UnreadableSecret):
                secrets.append(self._secret_box.open(sealed))
        return secrets

    async def _exchange(self, target: Target, headers: Mapping[str, str], body: str) -> tuple[int, str | None]:
        check_target(target, self._private_hosts)
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        sent = [("host", target.authority), ("connection", "close"), *headers.items()]
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network) as connections,
            connections.stream("POST", url, headers=sent, content=body.encode()) as response,
        ):
            received = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            return response.status, received.get(b"retry-after")

    def _explain(self, failure: Exception) -> str:
        """The reason for the owner of the endpoint; never an address, which may be that of a private network."""
        match failure:
            case ForbiddenAddress():
                reason = str(failure)
            case UnreadableSecret():
                reason = "the secret cannot be read any more: rotate it"
            case TimeoutError():
                reason = f"no answer within {self._timeout_seconds:.0f} seconds"
            case socket.gaierror() | UnicodeError():
                reason = "the host has no address"
            case httpcore.ConnectError():
                reason = _tls_problem(failure.__context__) or "no connection"
            case httpcore.NetworkError() | httpcore.ProtocolError():
                reason = "the connection broke off before the answer"
            case _:
                log.error("webhook.unexpected_failure", exc_info=failure)
                reason = "could not be sent"
        return reason


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Where connections are made: the one look-up of a host is checked, then used. TLS still wants its name."""

    def __init__(self, private_hosts: Collection[str], resolve: Resolve) -> None:
        self._private_hosts = private_hosts
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def resolve(self, host: str, port: int) -> list[str]:
        """The host's addresses, all of which may be connected to. Raises ForbiddenAddress, OSError, UnicodeError."""
        addresses = await self._resolve(host, port)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        check_addresses(host, port, addresses, self._private_hosts)
        return addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers."""
        *others, last = await self.resolve(host, port)
        for address in others:
            with contextlib.suppress(httpcore.ConnectError):
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._network.connect_tcp(last, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)


def _tls_problem(cause: BaseException | None) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"no TLS connection: {cause.verify_message}"
    return "no TLS connection" if isinstance(cause, ssl.SSLError) else None
