"""A service's token opens one peer service, for one user, for a minute."""

import base64
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from brightrun.contracts.values import new_id
from brightrun.runtime.errors import Unauthorized
from brightrun.runtime.tokens import LIFETIME_SECONDS, Caller, issue, verify
from tests.conftest import SECRET

NOW = int(time.time())
CLAIMS = {"iss": "api", "aud": "tracker", "iat": NOW, "exp": NOW + 86_400}
"""Valid claims; they do not expire while the tests run."""
HEADER = {"alg": "HS256", "typ": "JWT"}
OTHERS = "another-secret-that-is-long-enough-too"


def segment(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def signed(claims: object, header: object = HEADER, secret: str = SECRET, digest: str = "sha256") -> str:
    """Sign a token by hand: JWT libraries reject most of these."""
    message = f"{segment(header)}.{segment(claims)}"
    signature = hmac.digest(secret.encode(), message.encode(), digest)
    return f"{message}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def unsigned(alg: str) -> str:
    return f"{segment({'alg': alg, 'typ': 'JWT'})}.{segment(CLAIMS)}."


def without(claim: str) -> dict[str, object]:
    return {name: value for name, value in CLAIMS.items() if name != claim}


def tampered() -> str:
    header, _, signature = signed(CLAIMS).split(".")
    return f"{header}.{segment(CLAIMS | {'sub': str(new_id())})}.{signature}"


def test_a_token_names_the_calling_service_and_its_user() -> None:
    user = new_id()
    assert verify(SECRET, "tracker", issue(SECRET, "api", "tracker", user)) == Caller("api", user)
    assert verify(SECRET, "tracker", signed(CLAIMS | {"sub": str(user)})) == Caller("api", user)


def test_a_token_lives_for_a_minute() -> None:
    claims = jwt.decode(issue(SECRET, "api", "tracker", None), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == LIFETIME_SECONDS == 60


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_token_is_refused(alg: str) -> None:
    with pytest.raises(Unauthorized):
        verify(SECRET, "tracker", unsigned(alg))
    with pytest.raises(Unauthorized):
        verify(SECRET, "tracker", signed(CLAIMS, {"alg": alg, "typ": "JWT"}))


def test_a_key_in_the_header_is_ignored() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    shared = {"kty": "oct", "k": segment(OTHERS)}
    for token in (
        jwt.encode(CLAIMS, key, "RS256", {"jwk": public}),
        signed(CLAIMS, HEADER | {"jwk": shared}, OTHERS),
        signed(CLAIMS, HEADER | {"jku": "https://evil.example.com/keys"}, OTHERS),
        signed(CLAIMS, HEADER | {"x5u": "https://evil.example.com/keys"}, OTHERS),
    ):
        with pytest.raises(Unauthorized):
            verify(SECRET, "tracker", token)


@pytest.mark.parametrize("kid", ["../../../dev/null", "/dev/null", "' OR 1=1 --", "", 7, None, ["api"]])
def test_a_key_id_chooses_no_other_key(kid: object) -> None:
    for secret in ("", OTHERS):
        with pytest.raises(Unauthorized):
            verify(SECRET, "tracker", signed(CLAIMS, HEADER | {"kid": kid}, secret))


INVALID_TOKENS = [
    signed(CLAIMS, secret=OTHERS),
    signed(CLAIMS, HEADER | {"alg": "HS512"}, digest="sha512"),
    signed(CLAIMS, HEADER | {"alg": "HS384"}, digest="sha384"),
    signed(CLAIMS, HEADER | {"alg": "RS256"}),
    signed(CLAIMS, digest="sha512"),
    signed(CLAIMS, HEADER | {"crit": ["unheard-of"], "unheard-of": True}),
    signed(CLAIMS, HEADER | {"crit": ["b64"], "b64": False}),
    signed(CLAIMS | {"aud": "artifacts"}),
    signed(CLAIMS | {"aud": ["artifacts", "notifier"]}),
    signed(CLAIMS | {"aud": None}),
    signed(CLAIMS | {"exp": NOW - 1}),
    signed(CLAIMS | {"exp": "tomorrow"}),
    signed(CLAIMS | {"exp": float("inf")}),
    signed(CLAIMS | {"nbf": NOW + 80_000}),
    signed(CLAIMS | {"iat": NOW + 80_000}),
    signed(CLAIMS | {"sub": "nobody"}),
    signed(CLAIMS | {"sub": 7}),
    signed(CLAIMS | {"sub": None}),
    *(signed(without(claim)) for claim in ("iss", "aud", "exp")),
    tampered(),
    signed(CLAIMS)[:-2],
    signed(CLAIMS) + "AA",
    signed(CLAIMS) + ".AA",
    signed(CLAIMS).rpartition(".")[0],
    signed([CLAIMS]),
    signed("not json"),
    "not a token",
    "",
    "..",
    "é.é.é",
    "\ud800.\ud800.\ud800",
    f"{segment('[' * 40_000)}.e30.AAAA",
    signed("[" * 40_000),
    f"{segment('9' * 10_000)}.e30.AAAA",
]


@pytest.mark.parametrize("token", INVALID_TOKENS, ids=range(len(INVALID_TOKENS)))
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        verify(SECRET, "tracker", token)


def test_a_call_without_a_user_cannot_read_a_users_things() -> None:
    caller = verify(SECRET, "tracker", issue(SECRET, "api", "tracker", None))
    with pytest.raises(Unauthorized):
        _ = caller.user
