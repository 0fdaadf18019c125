"""Nothing is sent where it may not go: what was checked is what is connected to, and TLS wants the host's own name."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from brightrun.contracts.values import new_id, utc_now
from brightrun.notifier.models import Endpoint, Reply, WebhookEvent
from brightrun.notifier.rules.addresses import ForbiddenAddress
from brightrun.notifier.secret_box import SecretBox
from brightrun.notifier.webhook_sender import TIMEOUT_SECONDS, WebhookSender
from brightrun.runtime.database import Pool
from tests.builders import job_completed
from tests.services.notifier.conftest import PRIVATE_HOSTS, WEBHOOK_KEY, Webhooks, asking, deliver
from tests.services.notifier.receiver import Receiver
from tests.services.slices import serve

SECRET_BOX = SecretBox(WEBHOOK_KEY)
NAME = "hooks.example.com"
PUBLIC = "93.184.215.14"


class Names:
    """A resolver whose answers are told in advance, one list of addresses for each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def endpoint(url: str) -> Endpoint:
    _, sealed = SECRET_BOX.new_secret()
    now = utc_now()
    return Endpoint(new_id(), new_id(), url, "", ["*"], True, None, None, 0, sealed.secret, "", None, None, now, now)


async def send(sender: WebhookSender, url: str) -> Reply:
    return await sender.send(endpoint(url), WebhookEvent(new_id(), "fine_tuning.job.trained", "{}"))


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_host_whose_address_becomes_private_receives_nothing(receiver: Receiver, pool: Pool):
    names = Names([PUBLIC], ["127.0.0.1"])
    sender = WebhookSender(SECRET_BOX, PRIVATE_HOSTS, names)
    user = new_id()
    webhooks = Webhooks(user, asking(pool, sender)(user), pool, sender)
    made = await webhooks.create(f"https://{NAME}:{port_of(receiver.url)}/")
    await deliver(pool, job_completed(user_id=webhooks.user))
    await webhooks.send()
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["attempts"][0]["error"]) == (
        "pending",
        "the host's address is not a public one",
    )
    result = (await webhooks.client.post(f"/webhooks/{made['id']}/test", json={})).json()["data"]
    assert result["error"] == "the host's address is not a public one"
    assert len(names.asked) == 3, "once at creation and once for each time that it is sent"
    assert receiver.received == []


@pytest.mark.parametrize("addresses", [["127.0.0.1", PUBLIC], [PUBLIC, "127.0.0.1"], [PUBLIC, "::ffff:10.0.0.1"]])
async def test_a_name_with_one_private_address_among_others_is_refused(addresses: list[str]):
    sender = WebhookSender(SECRET_BOX, frozenset(), Names(addresses))
    with pytest.raises(ForbiddenAddress, match="not a public one"):
        await sender.check(f"https://{NAME}/")
    assert (await send(sender, f"https://{NAME}/")).error == "the host's address is not a public one"


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(receiver: Receiver):
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    url = f"http://{NAME}:{port_of(receiver.url)}/"
    reply = await send(WebhookSender(SECRET_BOX, {NAME}, names), url)
    assert reply.succeeded, reply
    assert names.asked == [(NAME, port_of(receiver.url))]
    assert receiver.received[0].headers["host"] == url.removeprefix("http://").rstrip("/")


async def test_the_next_address_is_tried_when_one_does_not_answer(receiver: Receiver):
    names = Names(["127.0.0.9", "127.0.0.1"])
    assert (await send(WebhookSender(SECRET_BOX, {NAME}, names), f"http://{NAME}:{port_of(receiver.url)}/")).succeeded


@pytest.mark.parametrize("url", [f"http://{NAME}/", f"https://{NAME}:25/"])
async def test_what_was_accepted_under_other_settings_is_checked_again_when_it_is_sent(url: str):
    names = Names([PUBLIC])
    reply = await send(WebhookSender(SECRET_BOX, frozenset(), names), url)
    assert (reply.status_code, names.asked) == (None, [])
    assert str(reply.error).startswith("the ")


async def test_a_redirect_is_not_followed(receiver: Receiver):
    receiver.answers, receiver.headers = [307], {"Location": f"{receiver.url}/elsewhere"}
    reply = await send(WebhookSender(SECRET_BOX, PRIVATE_HOSTS), receiver.url)
    assert (reply.status_code, reply.error) == (307, "answered 307")
    assert [received.path for received in receiver.received] == ["/"]


@pytest.mark.parametrize(
    ("named", "allowed"),
    [("127.0.0.1", True), ("127.0.0.1:{port}", True), ("127.0.0.1:1", False), ("localhost", False), ("", False)],
)
async def test_only_a_named_host_may_be_private_and_without_tls(receiver: Receiver, named: str, allowed: bool):
    sender = WebhookSender(SECRET_BOX, {named.format(port=port_of(receiver.url))})
    reply = await send(sender, receiver.url)
    assert (reply.succeeded, len(receiver.received)) == (allowed, int(allowed))


async def test_a_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await send(WebhookSender(SECRET_BOX, PRIVATE_HOSTS), receiver.url)).succeeded


@dataclass
class TlsReceiver:
    """A TLS server with a certificate for `NAME`; remembers which names it was asked for."""

    authority: Path
    port: int = 0
    names: list[str | None] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def tls_receiver(folder: Path) -> AsyncIterator[TlsReceiver]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_format = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(key.private_bytes(*key_format))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    it = TlsReceiver(folder / "certificate.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(it.authority, folder / "key.pem")
    context.sni_callback = lambda _, name, __: it.names.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        it.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    it.port = server.sockets[0].getsockname()[1]
    async with server:
        yield it


async def test_tls_and_host_header_keep_the_name_though_an_address_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with tls_receiver(tmp_path) as it:
        monkeypatch.setenv("SSL_CERT_FILE", str(it.authority))
        sender = WebhookSender(SECRET_BOX, {NAME, "other.example.com"}, Names(["127.0.0.1"]))
        assert (await send(sender, f"https://{NAME}:{it.port}/hook")).status_code == 204
        assert it.names == [NAME]
        assert f"host: {NAME}:{it.port}".encode() in it.requests[0].lower()
        other = await send(sender, f"https://other.example.com:{it.port}/hook")
    assert other.status_code is None
    assert "Hostname mismatch" in str(other.error)
    assert len(it.requests) == 1


async def test_an_untrusted_certificate_is_rejected(tmp_path: Path):
    async with tls_receiver(tmp_path) as it:
        reply = await send(WebhookSender(SECRET_BOX, {NAME}, Names(["127.0.0.1"])), f"https://{NAME}:{it.port}/")
    assert str(reply.error).startswith("no TLS connection: self")
    assert it.requests == []


async def test_receivers_without_tls_or_http_have_their_own_errors(receiver: Receiver):
    sender = WebhookSender(SECRET_BOX, {NAME}, Names(["127.0.0.1"]))
    assert (await send(sender, f"https://{NAME}:{port_of(receiver.url)}/")).error == "no TLS connection"

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        reply = await send(sender, f"http://{NAME}:{server.sockets[0].getsockname()[1]}/")
    assert (reply.status_code, reply.error) == (None, "the connection broke off before the answer")


async def test_no_answer_in_time_and_an_endless_body_cost_no_more_than_that():
    sender = WebhookSender(SECRET_BOX, PRIVATE_HOSTS)
    hasty = WebhookSender(SECRET_BOX, PRIVATE_HOSTS, timeout_seconds=0.2)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"/endless" in request:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n" + b"x" * 1000)
        await reader.read()  # until the sender hangs up
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert (await send(sender, f"{url}/endless")).status_code == 200
        silent = await send(hasty, f"{url}/silent")
    assert silent.status_code is None
    assert str(silent.error).startswith("no answer within")
    assert silent.duration_ms < TIMEOUT_SECONDS * 1000


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_receiver_is_spoken_to_by_its_name():
    it = Receiver()
    async with serve(it, host="::1") as url:
        assert (await send(WebhookSender(SECRET_BOX, {"::1"}), url)).succeeded
    assert it.received[0].headers["host"] == url.removeprefix("http://")
