"""Sign-ins with the identity provider."""

from collections.abc import Set
from datetime import timedelta

from brightrun.api.actions.accounts import register
from brightrun.api.errors import AccountDisabled, EmailNotAdmitted, EmailNotVerified, SignupClosed
from brightrun.api.models import User
from brightrun.api.queries import accounts, identities, keys, sessions
from brightrun.api.rules.sessions import CODE, digest, new_token
from brightrun.api.schemas.oidc import Claims
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Connection

CODE_LIFETIME = timedelta(minutes=2)


async def admit(conn: Connection, issuer: str, who: Claims, domains: Set[str], *, signup_open: bool) -> User:
    """The account of whom the provider has let in; the first time it is opened, or linked by the verified address."""
    if domains and (who.verified_email or "").rpartition("@")[2] not in domains:
        raise EmailNotAdmitted
    user = await identities.find_user(conn, issuer, who.sub)
    if user is None:
        user = await _admit_first_time(conn, issuer, who, may_open=signup_open or bool(domains))
    if user.disabled_at:
        raise AccountDisabled
    return user


async def issue_code(conn: Connection, user: User, challenge: str) -> str:
    """A code by which whoever has the challenge's verifier fetches the user's token, once."""
    code = new_token(CODE)
    await sessions.insert_code(conn, digest(code), user.id, challenge, utc_now() + CODE_LIFETIME)
    return code


async def _admit_first_time(conn: Connection, issuer: str, who: Claims, *, may_open: bool) -> User:
    if who.verified_email is None:
        raise EmailNotVerified
    await accounts.admit_one_at_a_time(conn)
    if at_the_same_time := await identities.find_user(conn, issuer, who.sub):
        return at_the_same_time
    known = await accounts.find_by_email(conn, who.verified_email)
    if known is None and not may_open:
        raise SignupClosed
    user = known[0] if known else await register(conn, who.verified_email, who.name, None)
    if known and user.role != "admin":
        await _lock_others_out(conn, user)
    await identities.insert_identity(conn, issuer, who.sub, user.id)
    return user


async def _lock_others_out(conn: Connection, user: User) -> None:
    """End what the account was used with: sign-up verifies no address, so it may be somebody else who waits inside.

    Admins are spared. They are made by admins, and must get in where the provider fails.
    """
    await accounts.set_password(conn, user.id, None)
    await sessions.delete_sessions(conn, user.id)
    await keys.revoke_keys(conn, user.id)
