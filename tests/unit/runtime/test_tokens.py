"""A service's token opens one neighbour, for one user, for a minute."""

import time

import jwt
import pytest

from brightrun.contracts.values import new_id
from brightrun.runtime.errors import Unauthorized
from brightrun.runtime.tokens import Caller, issue, verify
from tests.conftest import SECRET


def _claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    return {"iss": "api", "aud": "tracker", "iat": now, "exp": now + 60} | changes


def test_the_callee_learns_who_asks_and_for_whom() -> None:
    user = new_id()
    assert verify(SECRET, "tracker", issue(SECRET, "api", "tracker", user)) == Caller("api", user)


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(_claims(), "another-secret-that-is-long-enough-too", "HS256"),
        jwt.encode(_claims(aud="artifacts"), SECRET, "HS256"),
        jwt.encode(_claims(exp=int(time.time()) - 1), SECRET, "HS256"),
        jwt.encode({k: v for k, v in _claims().items() if k != "exp"}, SECRET, "HS256"),
        jwt.encode(_claims(), None, "none"),
        jwt.encode(_claims(sub="nobody"), SECRET, "HS256"),
        "not a token",
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        verify(SECRET, "tracker", token)


def test_a_call_without_a_user_cannot_read_a_users_things() -> None:
    caller = verify(SECRET, "tracker", issue(SECRET, "api", "tracker", None))
    with pytest.raises(Unauthorized):
        _ = caller.user
