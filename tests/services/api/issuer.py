"""OpenID providers: a real one as a process, and one of our own that does what real ones would not."""

import asyncio
import json
import socket
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from fastapi import FastAPI, Form, Request, Response
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.waiting import eventually

CLIENT_ID = "brightrun"
CLIENT_SECRET = "s p&ce"

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey


@asynccontextmanager
async def real_issuer() -> AsyncIterator[str]:
    """`oidc-provider-mock` as a process of its own; lends its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip

    async def answers() -> bool:
        async with httpx.AsyncClient() as http:
            try:
                return (await http.get(f"{url}/.well-known/openid-configuration")).is_success
            except httpx.TransportError:
                return False

    try:
        await eventually(answers)
        yield url
    finally:
        process.terminate()
        await process.wait()


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token of any make: libraries refuse to make bad ones."""
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{b64(sign(signed.encode()))}"


class FakeIssuer:
    """Signs any claims, and records its requests."""

    def __init__(self) -> None:
        self.url = ""
        self.rsa: RSAPrivateKey = rsa.generate_private_key(65537, 2048)
        self.stranger: RSAPrivateKey = rsa.generate_private_key(65537, 2048)
        self.ec: EllipticCurvePrivateKey = ec.generate_private_key(ec.SECP256R1())
        self.app = FastAPI()
        self.app.get("/.well-known/openid-configuration")(self.metadata)
        self.app.get("/jwks")(self.jwks)
        self.app.post("/token")(self.token)
        self.app.get("/userinfo")(self.userinfo)
        self.reset()

    def reset(self) -> None:
        self.unavailable = False
        self.auth_methods = ["client_secret_basic"]
        self.keys = [self.public(self.rsa, "rsa"), self.public(self.ec, "ec"), self.public(self.stranger, "enc", "enc")]
        self.requests: list[str] = []
        self.claims: dict[str, Any] = {}
        self.user_info: dict[str, Any] = {"sub": "ada"}
        self.challenge = ""
        self.redeemed: list[dict[str, Any]] = []

    @staticmethod
    def public(key: PrivateKey, kid: str, use: str = "sig") -> dict[str, Any]:
        """The public half of a key, as a member of the key set."""
        algorithm = RSAAlgorithm if isinstance(key, RSAPrivateKey) else ECAlgorithm
        return algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": use}

    def claims_of(self, **changes: Any) -> dict[str, Any]:
        """Claims that are fine but for the changes; what is changed to None is left out."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": "ada", "aud": CLIENT_ID, "iat": now, "exp": now + 300} | changes
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, key: PrivateKey | None = None, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token that is fine but for the changes."""
        algorithm = "ES256" if isinstance(key, EllipticCurvePrivateKey) else "RS256"
        kid = "ec" if algorithm == "ES256" else "rsa"
        return jwt.encode(self.claims_of(**changes), key or self.rsa, algorithm, {"kid": kid} | (headers or {}))

    async def metadata(self, response: Response) -> dict[str, Any]:
        self.requests.append("metadata")
        if self.unavailable:
            response.status_code = 503
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "authorization_endpoint": f"{self.url}/authorize?tenant=a",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "token_endpoint_auth_methods_supported": self.auth_methods,
        }

    async def jwks(self) -> dict[str, Any]:
        self.requests.append("jwks")
        return {"keys": self.keys}

    async def token(self, request: Request, response: Response, code_verifier: str = Form("")) -> dict[str, Any]:
        """Checks PKCE as RFC 7636 says; `challenge` is what came with the browser."""
        form = dict(await request.form())
        self.redeemed.append(form | {"authorization": request.headers.get("authorization")})
        if b64(sha256(code_verifier.encode()).digest()) != self.challenge:
            response.status_code = 400
            return {"error": "invalid_grant"}
        return {"access_token": "opaque", "id_token": self.signed(**self.claims)}

    async def userinfo(self, request: Request) -> dict[str, Any]:
        assert request.headers["authorization"] == "Bearer opaque"
        return self.user_info
