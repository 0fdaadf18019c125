"""Which receivers a webhook may be sent to: public addresses over TLS, unless the operator named the host."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from pydantic import HttpUrl

FIRST_USER_PORT = 1024
HTTPS_PORT = 443

GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's host, with its metadata
        "192.0.0.0/24",  # protocol assignments, among them Oracle's metadata
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # Teredo and other tunnels into IPv4
        "2002::/16",  # 6to4, which carries an IPv4 address
        "3fff::/20",  # documentation; Pythons before 3.13 take it for global
    )
)
"""What `ipaddress` calls global in at least one of its versions, and is not a receiver of the internet."""


class ForbiddenAddress(Exception):
    """Where nothing may be sent; says why, without naming an address that a private resolver may have told."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart: `host` without brackets, `authority` as the Host header wants it."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def of(cls, url: str) -> Self:
        """The parts of a URL that was accepted before."""
        parsed = HttpUrl(url)
        authority, host, port = parsed.host or "", (parsed.host or "").strip("[]"), parsed.port or 0
        if port != {"http": 80, "https": HTTPS_PORT}[parsed.scheme]:
            authority += f":{port}"
        path = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
        return cls(parsed.scheme, host, port, authority, path)


def is_private_host(host: str, port: int, private_hosts: Collection[str]) -> bool:
    """Whether the operator named `host`, or `host:port`, as one that may be private and without TLS."""
    return host in private_hosts or f"{host}:{port}" in private_hosts


def check_target(target: Target, private_hosts: Collection[str]) -> None:
    """Raise ForbiddenAddress for what no address makes right: plain HTTP, or the port of another protocol.

    Below 1024 only 443 is let through, so that nobody has us talk to mail servers and the like.
    """
    if is_private_host(target.host, target.port, private_hosts):
        return
    if target.scheme != "https":
        raise ForbiddenAddress("the URL must begin with https://")
    if target.port != HTTPS_PORT and target.port < FIRST_USER_PORT:
        raise ForbiddenAddress(f"the port must be {HTTPS_PORT}, or {FIRST_USER_PORT} and above")


def check_addresses(host: str, port: int, addresses: Collection[str], private_hosts: Collection[str]) -> None:
    """Raise ForbiddenAddress unless all addresses that `host` has are public, or the host is named."""
    if is_private_host(host, port, private_hosts):
        return
    if not all(is_public(address) for address in addresses):
        raise ForbiddenAddress("the host's address is not a public one")


def is_public(address: str) -> bool:
    """Whether `address` is one machine on the internet; false for what is no address at all."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved or not _is_plain(ip):
        return False
    return not any(ip in network for network in NOT_PUBLIC)


def _is_plain(ip: IPv4Address | IPv6Address) -> bool:
    """Of IPv6 only global unicast: no mapped, translated, link-local or site-local address, and no zone."""
    return isinstance(ip, IPv4Address) or (ip in GLOBAL_UNICAST and ip.scope_id is None)
