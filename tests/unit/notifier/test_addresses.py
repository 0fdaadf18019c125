"""Which addresses and URLs a webhook may be sent to."""

import pytest
from pydantic import TypeAdapter, ValidationError

from brightrun.contracts.webhooks import WebhookUrl
from brightrun.notifier.rules.addresses import ForbiddenAddress, Target, check_target, is_public

PUBLIC = ["8.8.8.8", "93.184.215.14", "1.1.1.1", "223.255.255.254", "2606:4700:4700::1111", "2a00:1450:4001:830::200e"]
NOT_PUBLIC = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "this network": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0", "fec0::1"],
    "carrier-grade NAT": ["100.64.0.1", "100.127.255.254"],
    "metadata": [
        "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    ],
    "multicast": ["224.0.0.1", "224.0.1.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "broadcast and reserved": ["255.255.255.255", "240.0.0.1", "4000::1", "5f00::1"],
    "documentation and benchmarks": [
        "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1", "3fff::1",
    ],
    "IPv4 in IPv6": ["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"],
    "6to4 and Teredo": ["2002:7f00:1::", "2002:808:808::1", "192.88.99.1", "2001:0:53aa:64c::1", "2001:20::1"],
    "no address": ["", "localhost", "0177.0.0.1", "2130706433", "0x7f000001", "127.1", "1.2.3.4.5", "[::1]"],
}  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_one(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("kind", "address"), [(kind, address) for kind, addresses in NOT_PUBLIC.items() for address in addresses]
)
def test_no_other_address_is(kind: str, address: str) -> None:
    assert not is_public(address), kind


URL = TypeAdapter(WebhookUrl)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("https://Example.COM", "https://example.com/"),
        ("https://example.com:443/a?b=c", "https://example.com/a?b=c"),
        ("https://münchen.example/ü", "https://xn--mnchen-3ya.example/%C3%BC"),
        ("https:\\\\example.com\\a", "https://example.com/a"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700::1]:8443/", "https://[2606:4700::1]:8443/"),
        ("http://receiver.lan:8080/a;p=1", "http://receiver.lan:8080/a;p=1"),
    ],
)
def test_a_url_is_kept_in_its_canonical_spelling(written: str, canonical: str) -> None:
    assert str(URL.validate_python(written)) == canonical


@pytest.mark.parametrize(
    "written",
    [
        "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "https://",
        "https://user:password@example.com/", "https://user@example.com/", "https://:password@example.com/",
        "https://0177.0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://010.8.8.8/",
        "https://1.1.1/", "https://①②⑦.0.0.1/", "https://256.1.1.1/", "https://[fe80::1%25eth0]/", "https://[::1/",
        "https://example.com:99999/", "https://example.com\x00/", "https://example.com/" + "a" * 2048,
        "https://example.com/" + "ü" * 400,
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        URL.validate_python(written)


TARGETS = [
    ("https://example.com/", None),
    ("https://example.com:8443/", None),
    ("https://example.com:1024/", None),
    ("https://example.com:1023/", "the port must be"),
    ("https://example.com:22/", "the port must be"),
    ("https://example.com:80/", "the port must be"),
    ("http://example.com/", "https://"),
    ("http://named.lan/", None),
    ("http://named.lan:25/", None),
    ("http://named.lan./", "https://"),
    ("http://sub.named.lan/", "https://"),
    ("http://ported.lan:8080/", None),
    ("http://ported.lan:8081/", "https://"),
    ("http://[fd00::1]/", None),
]


@pytest.mark.parametrize(("url", "problem"), TARGETS)
def test_plain_http_and_odd_ports_are_for_named_hosts(url: str, problem: str | None) -> None:
    named = frozenset({"named.lan", "ported.lan:8080", "fd00::1"})
    if problem is None:
        check_target(Target.of(url), named)
    else:
        with pytest.raises(ForbiddenAddress, match=problem):
            check_target(Target.of(url), named)


def test_a_target_is_a_url_taken_apart() -> None:
    assert Target.of("https://[2606:4700::1]:8443/a;p?b=c#d") == Target(
        "https", "2606:4700::1", 8443, "[2606:4700::1]:8443", "/a;p?b=c"
    )
    assert Target.of("https://example.com/") == Target("https", "example.com", 443, "example.com", "/")
