"""Accounts and sign-ins."""

from collections.abc import Iterable, Set
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.api.accounts import rules
from brightrun.api.accounts.errors import (
    AccountDisabled,
    EmailNotAdmitted,
    EmailNotVerified,
    EmailTaken,
    LastAdmin,
    SignupClosed,
    TooManyKeys,
    TooManyLoginAttempts,
    WrongCredentials,
)
from brightrun.api.accounts.models import ApiKey, Grant, Role, Scope, User
from brightrun.api.accounts.queries import tokens, users
from brightrun.api.accounts.rules import (
    ACCOUNT,
    CODE,
    KEY,
    KNOWN_FOR,
    MAX_KEYS,
    NETWORK,
    SESSION,
    VISIBLE,
    Throttle,
    count,
    digest,
    end_of,
    new_token,
    with_implied,
)
from brightrun.api.accounts.schemas import Claims
from brightrun.api.http.errors import WrongScope
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound

MAX_CLIENT_LENGTH = 200
"""Characters of what the program that signs in calls itself."""


async def register(conn: Connection, email: str, name: str, password_hash: str | None) -> User:
    """Open an account. The first one of an installation is its admin."""
    await users.lock_sign_up(conn)
    role: Role = "member" if await users.any_user(conn) else "admin"
    return await open_account(conn, email, name, role, password_hash)


async def open_account(conn: Connection, email: str, name: str, role: Role, password_hash: str | None) -> User:
    """Open an account with that role; None is for one without a password."""
    user = User(id=new_id(), email=email, name=name, role=role, created_at=utc_now())
    if not await users.insert_user(conn, user, password_hash):
        raise EmailTaken
    return user


async def sign_in(conn: Connection, user_id: UUID, lifetime: timedelta, client: str) -> str:
    """A new bearer token of the user's; only its digest is kept."""
    token = new_token(SESSION)
    shown = "".join(filter(str.isprintable, client))[:MAX_CLIENT_LENGTH]
    await tokens.insert_session(conn, digest(token), user_id, utc_now() + lifetime, shown)
    return token


async def change_password(conn: Connection, grant: Grant, old_hash: str, new_hash: str) -> None:
    """Replace the password and end all of the user's sessions but the one that asks."""
    if not await users.replace_password(conn, grant.user.id, old_hash, new_hash):
        raise WrongCredentials
    await tokens.delete_sessions(conn, grant.user.id, but=grant.session_id)


async def count_login_attempt(conn: Connection, email: str, network: str) -> None:
    """Count an attempt before its password is looked at, so that many at once get no further than one by one.

    Whether the address has an account makes no difference. What has to wait is not counted.
    """
    now = utc_now()
    await _count(conn, digest(network), NETWORK, now)
    await _count(conn, await _account(conn, email, network), ACCOUNT, now)


async def record_login(conn: Connection, email: str, network: str) -> None:
    """Let the account begin anew. The network gets back this one attempt only, or one's own account would free it."""
    await users.return_login_attempt(conn, digest(network))
    await users.reset_login_attempts(conn, await _account(conn, email, network))
    await users.mark_signed_in(conn, _pair(email, network))


async def _account(conn: Connection, email: str, network: str) -> bytes:
    """Where attempts on the account are counted: with all the world's, but apart where it was signed in to before."""
    pair = _pair(email, network)
    return pair if await users.signed_in_before(conn, pair, KNOWN_FOR) else digest(email)


def _pair(email: str, network: str) -> bytes:
    return digest(f"{email} {network}")


async def _count(conn: Connection, source: bytes, throttle: Throttle, now: datetime) -> None:
    before = await users.lock_login_attempts(conn, source, now)
    if before.blocked_until and before.blocked_until > now:
        raise TooManyLoginAttempts((before.blocked_until - now).total_seconds())
    await users.save_login_attempts(conn, source, count(before, throttle, now))


async def create_key(
    conn: Connection, maker: Grant, name: str, scopes: Iterable[Scope], expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """A new key and its secret. It may do no more than what it is made with, and ends with the key that made it."""
    granted = with_implied(scopes)
    if missing := granted - maker.scopes:
        raise WrongScope({"needed": sorted(missing)})
    if await tokens.count_keys(conn, maker.user.id) >= MAX_KEYS:
        raise TooManyKeys
    secret = new_token(KEY)
    key = ApiKey(
        id=new_id(),
        name=name,
        scopes=granted,
        prefix=secret[:VISIBLE],
        created_at=utc_now(),
        expires_at=end_of(expires_at, None if maker.session_id else maker.expires_at),
    )
    await tokens.insert_key(conn, maker.user.id, key, digest(secret))
    return key, secret


async def revoke_key(conn: Connection, user_id: UUID, key_id: UUID) -> None:
    """The key is of no use from now on."""
    if not await tokens.revoke_key(conn, user_id, key_id):
        raise NotFound


async def change_user(conn: Connection, user_id: UUID, role: Role | None, *, disabled: bool | None) -> User:
    """Give the account another role, disable it, which ends its sessions, or enable it; None leaves it as it is.

    Keys of a disabled account do nothing until it is enabled again. One active admin always remains.
    """
    admins = await users.lock_active_admins(conn)
    user = rules.changed(await _lock(conn, user_id), role, disabled=disabled, now=utc_now())
    if rules.nobody_remains(admins, user):
        raise LastAdmin
    await users.save_user(conn, user)
    if user.disabled_at:
        await tokens.delete_sessions(conn, user_id)
    return user


async def reset_password(conn: Connection, user_id: UUID, password_hash: str) -> User:
    """Give the account another password and end its sessions."""
    user = await _lock(conn, user_id)
    await users.set_password(conn, user_id, password_hash)
    await tokens.delete_sessions(conn, user_id)
    return user


async def _lock(conn: Connection, user_id: UUID) -> User:
    user = await users.lock_user(conn, user_id)
    if user is None:
        raise NotFound
    return user


CODE_LIFETIME = timedelta(minutes=2)


async def admit(conn: Connection, issuer: str, who: Claims, domains: Set[str], *, signup_open: bool) -> User:
    """The account of whom the provider has let in; the first time it is opened, or linked by the verified address."""
    if domains and (who.verified_email or "").rpartition("@")[2] not in domains:
        raise EmailNotAdmitted
    user = await users.find_user(conn, issuer, who.sub)
    if user is None:
        user = await _admit_first_time(conn, issuer, who, may_open=signup_open or bool(domains))
    if user.disabled_at:
        raise AccountDisabled
    return user


async def issue_code(conn: Connection, user: User, challenge: str) -> str:
    """A code by which whoever has the challenge's verifier fetches the user's token, once."""
    code = new_token(CODE)
    await tokens.insert_code(conn, digest(code), user.id, challenge, utc_now() + CODE_LIFETIME)
    return code


async def _admit_first_time(conn: Connection, issuer: str, who: Claims, *, may_open: bool) -> User:
    if who.verified_email is None:
        raise EmailNotVerified
    await users.lock_sign_up(conn)
    if at_the_same_time := await users.find_user(conn, issuer, who.sub):
        return at_the_same_time
    known = await users.find_by_email(conn, who.verified_email)
    if known is None and not may_open:
        raise SignupClosed
    user = known[0] if known else await register(conn, who.verified_email, who.name, None)
    if known and user.role != "admin":
        await _revoke_access(conn, user)
    await users.insert_identity(conn, issuer, who.sub, user.id)
    return user


async def _revoke_access(conn: Connection, user: User) -> None:
    """End what the account was used with: sign-up verifies no address, so it may be somebody else who waits inside.

    Admins are spared. They are made by admins, and must get in where the provider fails.
    """
    await users.set_password(conn, user.id, None)
    await tokens.delete_sessions(conn, user.id)
    await tokens.revoke_keys(conn, user.id)
