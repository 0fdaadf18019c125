"""Passwords: Argon2id, in threads of their own, few at a time since each hash takes 64 MiB."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

_HASHER = PasswordHasher()
_DECOY = _HASHER.hash(secrets.token_urlsafe())
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="argon2")


async def hash_password(password: str) -> str:
    """What is stored of a password."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _HASHER.hash, password)


async def verify(password: str, stored: str | None) -> bool:
    """Whether `password` is the stored one. Where nothing is stored the answer is no, and takes as long."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _verify, password, stored)


def _verify(password: str, stored: str | None) -> bool:
    try:
        return _HASHER.verify(stored or _DECOY, password) and stored is not None
    except VerificationError:
        return False
