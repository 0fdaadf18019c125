"""The users' own HTTP servers: each event is one POST to an address that was checked, whatever the name means later."""

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
from brightrun.notifier.models import Endpoint, Message, Reply
from brightrun.notifier.rules.addresses import ForbiddenAddress, Target, check_addresses, check_target
from brightrun.notifier.rules.messages import headers_of
from brightrun.notifier.vault import UnreadableSecret, Vault

log = structlog.get_logger()

ANSWER_SECONDS = 10.0

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host; raises OSError or UnicodeError where it has none."""


async def ask_resolver(host: str, port: int) -> list[str]:
    """What the system's resolver says, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Receivers:
    """Sends events; a host is resolved once for each, and only the addresses that were checked are connected to."""

    def __init__(self, vault: Vault, private_hosts: Collection[str], resolve: Resolve = ask_resolver) -> None:
        self._vault = vault
        self._private_hosts = private_hosts
        self._network = _CheckedNetwork(private_hosts, resolve)
        self._tls = httpx.create_ssl_context()

    async def check(self, url: str) -> None:
        """Raise ForbiddenAddress when nothing may be sent to `url`, as its host is resolved now."""
        target = Target.of(url)
        check_target(target, self._private_hosts)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._network.resolve(target.host, target.port)
        except (OSError, UnicodeError):
            raise ForbiddenAddress("the host has no address") from None

    async def send(self, endpoint: Endpoint, message: Message) -> Reply:
        """POST the event once and say what came back; never raises.

        A redirect is an answer like any other, and of no answer is the body read.
        """
        started = time.monotonic()
        status, retry_after = None, None
        try:
            headers = headers_of(message.event_id, message.body, self._secrets(endpoint), utc_now())
            async with asyncio.timeout(ANSWER_SECONDS):
                status, retry_after = await self._exchange(Target.of(endpoint.url), headers, message.body)
            error = None if 200 <= status < 300 else f"answered {status}"
        except Exception as problem:
            error = _words(problem)
        return Reply(status, int((time.monotonic() - started) * 1000), error, retry_after)

    def _secrets(self, endpoint: Endpoint) -> list[str]:
        """What signs now; an old secret that cannot be read any more is done without."""
        newest, *older = endpoint.signing_secrets(utc_now())
        secrets = [self._vault.open(newest)]
        for sealed in older:
            with contextlib.suppress(UnreadableSecret):
                secrets.append(self._vault.open(sealed))
        return secrets

    async def _exchange(self, target: Target, headers: Mapping[str, str], body: str) -> tuple[int, str | None]:
        check_target(target, self._private_hosts)
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        sent = [("host", target.authority), ("connection", "close"), *headers.items()]
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network) as connections,
            connections.stream("POST", url, headers=sent, content=body.encode()) as answer,
        ):
            came = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
            return answer.status, came.get(b"retry-after")


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


def _words(problem: Exception) -> str:
    """What the owner of an endpoint is told; never an address, which may be that of a private network."""
    match problem:
        case ForbiddenAddress():
            words = str(problem)
        case UnreadableSecret():
            words = "the secret cannot be read any more: rotate it"
        case TimeoutError():
            words = f"no answer within {ANSWER_SECONDS:.0f} seconds"
        case socket.gaierror() | UnicodeError():
            words = "the host has no address"
        case httpcore.ConnectError():
            words = _tls_problem(problem.__context__) or "no connection"
        case httpcore.NetworkError() | httpcore.ProtocolError():
            words = "the connection broke off before the answer"
        case _:
            log.error("webhook.unexpected_failure", exc_info=problem)
            words = "could not be sent"
    return words


def _tls_problem(cause: BaseException | None) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"no TLS connection: {cause.verify_message}"
    return "no TLS connection" if isinstance(cause, ssl.SSLError) else None
