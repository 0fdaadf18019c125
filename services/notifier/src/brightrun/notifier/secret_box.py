"""The secrets that webhooks are signed with: made here, sealed for the database, opened to sign."""

import base64
import hashlib
import secrets

from cryptography.fernet import Fernet, InvalidToken

from brightrun.notifier.models import SealedSecret

PREFIX = "whsec_"
SECRET_BYTES = 32
HINT_LENGTH = 4


class UnreadableSecret(Exception):
    """The secret was sealed with another webhook key."""


class SecretBox:
    """Encrypts with the service's webhook key, so that a dump of the database signs nothing."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))

    def new_secret(self) -> tuple[str, SealedSecret]:
        """A fresh secret, `whsec_` and base64: in the clear, to be shown once, and as it is stored."""
        secret = PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        return secret, SealedSecret(self._fernet.encrypt(secret.encode()), secret[-HINT_LENGTH:])

    def open(self, sealed: bytes) -> str:
        """The secret in the clear. Raises UnreadableSecret."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise UnreadableSecret from None
