"""Accounts and sign-ins."""

from collections.abc import AsyncIterator, Iterable, Set
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from brightrun.api import errors
from brightrun.api.accounts import audit_queries as audit
from brightrun.api.accounts import rules
from brightrun.api.accounts import token_queries as tokens
from brightrun.api.accounts import user_queries as users
from brightrun.api.accounts.models import ApiKey, Grant, Role, Scope, User
from brightrun.api.accounts.schemas import Claims
from brightrun.api.settings import Limits
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Connection, Pool, transaction
from brightrun.runtime.errors import NotFound, ServiceError

CODE_LIFETIME = timedelta(minutes=2)
MAX_CLIENT_LENGTH = 200
"""Of the user agent."""


async def register(conn: Connection, email: str, name: str, password_hash: str | None) -> User:
    """Open an account. The first one of an installation is its admin."""
    await users.lock_sign_up(conn)
    role: Role = "member" if await users.any_user(conn) else "admin"
    return await open_account(conn, email, name, role, password_hash)


async def open_account(conn: Connection, email: str, name: str, role: Role, password_hash: str | None) -> User:
    """Open an account with that role. Raises EmailTaken."""
    user = User(id=new_id(), email=email, name=name, role=role, created_at=utc_now())
    if not await users.insert_user(conn, user, password_hash):
        raise errors.EmailTaken
    return user


async def sign_in(conn: Connection, user_id: UUID, lifetime: timedelta, client: str) -> str:
    """A new bearer token of the user; only its rules.digest is stored."""
    token = rules.new_token(rules.SESSION)
    shown = "".join(filter(str.isprintable, client))[:MAX_CLIENT_LENGTH]
    await tokens.insert_session(conn, rules.digest(token), user_id, utc_now() + lifetime, shown)
    return token


async def change_password(conn: Connection, grant: Grant, old_hash: str, new_hash: str) -> None:
    """Replace the password, and end all other sessions of the user."""
    if not await users.replace_password(conn, grant.user.id, old_hash, new_hash):
        raise errors.WrongCredentials
    await tokens.delete_sessions(conn, grant.user.id, but=grant.session_id)


async def count_login_attempt(conn: Connection, email: str, network: str, limits: Limits) -> None:
    """Count an attempt before its password is verified, so that concurrent attempts gain nothing.

    An address without an account is treated alike. Raises TooManyLoginAttempts, which are not counted.
    """
    now = utc_now()
    await _count(conn, rules.digest(network), limits.network_attempts, now)
    await _count(conn, await _account(conn, email, network), limits.account_attempts, now)


async def count_registration(conn: Connection, email: str, network: str, limits: Limits) -> None:
    """Count a sign-up, apart from attempts to sign in, so that sign-ups list few of the accounts.

    Raises TooManyLoginAttempts.
    """
    now = utc_now()
    await _count(conn, _sign_up(network), limits.network_attempts, now)
    await _count(conn, _sign_up(email), limits.account_attempts, now)


async def record_registration(conn: Connection, email: str, network: str) -> None:
    """The sign-up has opened an account: it does not count, and its network is known to the account."""
    await users.mark_signed_in(conn, _pair(email, network))
    for source in (network, email):  # as they are counted, so that no two sign-ups wait for each other
        await users.return_login_attempt(conn, _sign_up(source))


def _sign_up(source: str) -> bytes:
    return rules.digest(f"sign-up {source}")


async def record_login(conn: Connection, email: str, network: str) -> None:
    """Reset the account's attempts. The network gets back one only, or an attacker's own account would free it."""
    await users.return_login_attempt(conn, rules.digest(network))
    await users.reset_login_attempts(conn, await _account(conn, email, network))
    await users.mark_signed_in(conn, _pair(email, network))


async def _account(conn: Connection, email: str, network: str) -> bytes:
    """The counter of the account: one for all networks, apart from those where it was signed in to before."""
    pair = _pair(email, network)
    return pair if await users.signed_in_before(conn, pair, rules.KNOWN_FOR) else rules.digest(email)


def _pair(email: str, network: str) -> bytes:
    return rules.digest(f"{email} {network}")


async def _count(conn: Connection, source: bytes, free: int, now: datetime) -> None:
    before = await users.lock_login_attempts(conn, source, now)
    if before.blocked_until and before.blocked_until > now:
        raise errors.TooManyLoginAttempts((before.blocked_until - now).total_seconds())
    await users.save_login_attempts(conn, source, rules.count_attempt(before, free, now))


async def create_key(
    conn: Connection, creator: Grant, name: str, scopes: Iterable[Scope], expires_at: datetime | None, *, most: int
) -> tuple[ApiKey, str]:
    """A new key and its secret. Its scopes and expiry are within those of the token that creates it."""
    granted = rules.with_implied(scopes)
    if missing := granted - creator.scopes:
        raise errors.WrongScope({"needed": sorted(missing)})
    if await tokens.count_keys(conn, creator.user.id) >= most:
        raise errors.TooManyKeys
    secret = rules.new_token(rules.KEY)
    key = ApiKey(
        id=new_id(),
        name=name,
        scopes=granted,
        prefix=secret[: rules.VISIBLE_CHARACTERS],
        created_at=utc_now(),
        expires_at=rules.end_of(expires_at, None if creator.session_id else creator.expires_at),
        last_used_at=None,
    )
    await tokens.insert_key(conn, creator.user.id, key, rules.digest(secret))
    return key, secret


async def revoke_key(conn: Connection, user_id: UUID, key_id: UUID) -> None:
    """Revoke the key. Raises NotFound."""
    if not await tokens.revoke_key(conn, user_id, key_id):
        raise NotFound


async def change_user(conn: Connection, user_id: UUID, role: Role | None, *, disabled: bool | None) -> User:
    """Change the account's role, disable or enable it; None changes nothing. Raises LastAdmin.

    Disabling ends its sessions. Its keys work again once it is enabled.
    """
    admins = await users.lock_active_admins(conn)
    user = rules.changed_user(await _lock(conn, user_id), role, disabled=disabled, now=utc_now())
    if rules.no_admin_left(admins, user):
        raise errors.LastAdmin
    await users.save_user(conn, user)
    if user.disabled_at:
        await tokens.delete_sessions(conn, user_id)
    return user


async def reset_password(conn: Connection, user_id: UUID, password_hash: str) -> User:
    """Replace the account's password and end its sessions."""
    user = await _lock(conn, user_id)
    await users.set_password(conn, user_id, password_hash)
    await tokens.delete_sessions(conn, user_id)
    return user


DONE = "done"


async def record_change(conn: Connection, admin: User, action: str, target: object, **details: Any) -> None:
    """Add a change of this transaction to the audit log."""
    await audit.insert_entry(conn, admin, action, str(target), details=details, outcome=DONE)


@asynccontextmanager
async def recorded_change(pool: Pool, admin: User, action: str, target: object, **details: Any) -> AsyncIterator[None]:
    """Add a change that a peer service makes in the block to the audit log: before it, and then how it ended."""
    async with transaction(pool) as conn:
        entry_id = await audit.insert_entry(conn, admin, action, str(target), details=details, outcome=None)
    outcome = ServiceError.code
    try:
        yield
        outcome = DONE
    except ServiceError as error:
        outcome = error.code
        raise
    finally:
        async with transaction(pool) as conn:
            await audit.set_outcome(conn, entry_id, outcome)


async def _lock(conn: Connection, user_id: UUID) -> User:
    user = await users.lock_user(conn, user_id)
    if user is None:
        raise NotFound
    return user


async def admit(conn: Connection, issuer: str, claims: Claims, domains: Set[str], *, signup_open: bool) -> User:
    """The account of the provider's user: at the first time it is opened, or linked by the verified address."""
    if domains and (claims.verified_email or "").rpartition("@")[2] not in domains:
        raise errors.EmailNotAdmitted
    user = await users.find_user(conn, issuer, claims.sub)
    if user is None:
        user = await _admit_first_time(conn, issuer, claims, may_open=signup_open or bool(domains))
    if user.disabled_at:
        raise errors.AccountDisabled
    return user


async def issue_code(conn: Connection, user: User, challenge: str) -> str:
    """A code that the holder of the challenge's verifier exchanges for the user's token, once."""
    code = rules.new_token(rules.CODE)
    await tokens.insert_code(conn, rules.digest(code), user.id, challenge, utc_now() + CODE_LIFETIME)
    return code


async def _admit_first_time(conn: Connection, issuer: str, claims: Claims, *, may_open: bool) -> User:
    if claims.verified_email is None:
        raise errors.EmailNotVerified
    await users.lock_sign_up(conn)
    if concurrent := await users.find_user(conn, issuer, claims.sub):
        return concurrent
    known = await users.find_by_email(conn, claims.verified_email)
    if known is None and not may_open:
        raise errors.SignupClosed
    user = known[0] if known else await register(conn, claims.verified_email, claims.name, None)
    if known and user.role != "admin":
        await _revoke_access(conn, user)
    await users.insert_identity(conn, issuer, claims.sub, user.id)
    return user


async def _revoke_access(conn: Connection, user: User) -> None:
    """Revoke the account's password, sessions and keys: sign-up verifies no address, so they may be somebody else's.

    Not for admins. Admins appoint them, and they must be able to sign in while the provider is down.
    """
    await users.set_password(conn, user.id, None)
    await tokens.delete_sessions(conn, user.id)
    await tokens.revoke_keys(conn, user.id)
