"""Where callers come from."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

HOME_BITS = 64
"""Of an IPv6 address: one subscriber has at least as many addresses as the rest can tell apart."""


@lru_cache(4096)
def network_of(address: str) -> str:
    """What one caller has of the Internet: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> HOME_BITS << HOME_BITS)) + f"/{HOME_BITS}"
