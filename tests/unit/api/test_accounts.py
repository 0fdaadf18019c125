"""Small decisions about who may do what."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from brightrun.api.accounts import openid
from brightrun.api.accounts.models import User
from brightrun.api.accounts.openid import Untrusted, begin_authorization, key_id, resume_authorization
from brightrun.api.accounts.rules import changed_user, end_of, no_admin_left, with_implied
from brightrun.api.http.rate_limits import network_of
from brightrun.api.settings import Settings
from brightrun.contracts.values import new_id
from tests.builders import NOON

ADA = User(new_id(), "ada@example.com", "Ada", "admin", NOON)
CHALLENGE = "c" * 43


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_callers_are_distinguished_by_their_network(address: str, network: str):
    assert network_of(address) == network


@given(st.text(max_size=200))
def test_any_address_is_some_network_of_bounded_length(address: str):
    assert len(network_of(address)) <= 64


def test_scopes_bring_the_lesser_ones():
    assert with_implied([]) == frozenset()
    assert with_implied(["read", "train"]) == {"read", "train"}
    assert with_implied(["admin"]) == {"read", "train", "admin"}


def test_the_earlier_end_counts():
    later = NOON + timedelta(days=1)

    assert end_of(None, None) is None
    assert end_of(NOON, None) == end_of(None, NOON) == end_of(later, NOON) == end_of(NOON, later) == NOON


def test_a_second_disabling_keeps_the_first_date():
    disabled = changed_user(ADA, None, disabled=True, now=NOON)

    assert changed_user(disabled, None, disabled=True, now=NOON + timedelta(days=1)) == disabled
    assert changed_user(disabled, None, disabled=False, now=NOON) == ADA
    assert changed_user(ADA, "member", disabled=None, now=NOON).role == "member"


def test_an_admin_remains():
    member = changed_user(ADA, "member", disabled=None, now=NOON)

    assert no_admin_left({ADA.id}, member)
    assert no_admin_left({ADA.id}, changed_user(ADA, None, disabled=True, now=NOON))
    assert not no_admin_left({ADA.id}, ADA)
    assert not no_admin_left({ADA.id, new_id()}, member)
    assert not no_admin_left({new_id()}, member)


def test_a_flow_is_resumed_with_its_own_state_and_in_time():
    authorization = begin_authorization("secret", CHALLENGE, NOON)
    end = NOON + openid.LIFETIME

    assert resume_authorization("secret", authorization.cookie, authorization.state, end) == authorization
    assert resume_authorization("secret", authorization.cookie, authorization.state, end + timedelta(seconds=1)) is None
    assert resume_authorization("another", authorization.cookie, authorization.state, NOON) is None
    assert resume_authorization("secret", authorization.cookie, authorization.nonce, NOON) is None
    assert (
        resume_authorization("secret", begin_authorization("secret", CHALLENGE, NOON).cookie, authorization.state, NOON)
        is None
    )
    longer = authorization.cookie.replace(str(int(NOON.timestamp())), str(int(end.timestamp())))
    assert resume_authorization("secret", longer, authorization.state, end) is None
    assert len({authorization.state, authorization.nonce, authorization.verifier}) == 3


@given(st.text(max_size=200), st.text(max_size=100))
def test_no_made_up_flow_is_resumed(cookie: str, state: str):
    assert resume_authorization("secret", cookie, state, NOON) is None


def test_a_challenge_is_the_one_of_the_standard():
    # RFC 7636, appendix B
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert openid.challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@given(st.one_of(st.text(max_size=300), st.from_regex(r"[A-Za-z0-9_=-]{0,80}(\.[A-Za-z0-9_=-]{0,80}){0,5}")))
def test_any_text_is_no_token_of_the_provider(token: str):
    with pytest.raises(Untrusted):
        key_id(token)


NEEDED = {
    "port": 0,
    "database_url": "postgresql://unused",
    "kafka_bootstrap": "unused:9092",
    "service_secret": "x" * 32,
    "artifacts_url": "http://artifacts",
    "tracker_url": "http://tracker",
    "notifier_url": "http://notifier",
    "scheduler_url": "http://scheduler",
}
PROVIDER = {"oidc_issuer": "https://id.example.com", "oidc_client_id": "x", "oidc_return_url": "http://localhost:8080/"}


@pytest.mark.parametrize(
    "change",
    [
        {"oidc_client_id": ""},
        {"oidc_return_url": ""},
        {"oidc_issuer": "http://id.example.com"},
        {"oidc_issuer": "http://localhost.example.com"},
        {"oidc_return_url": "javascript:alert(1)"},
        {"rate_limit_reads": -1},
    ],
)
def test_settings_that_cannot_work_stop_the_start(change: dict[str, object]):
    Settings(**NEEDED | PROVIDER)
    with pytest.raises(ValidationError):
        Settings(**NEEDED | PROVIDER | change)


def test_domains_are_read_however_they_are_written():
    assert Settings(**NEEDED, oidc_email_domains=" Example.com,,example.org ").email_domains == {
        "example.com",
        "example.org",
    }
    assert Settings(**NEEDED).email_domains == frozenset()
