"""API keys."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from brightrun.api.access import ApiKey, Grant
from brightrun.api.errors import TooManyKeys, WrongScope
from brightrun.api.models import Scope
from brightrun.api.queries import keys
from brightrun.api.rules.keys import MAX_KEYS, VISIBLE, end_of, with_implied
from brightrun.api.rules.sessions import KEY, digest, new_token
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound


async def create_key(
    conn: Connection, maker: Grant, name: str, scopes: Iterable[Scope], expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """A new key and its secret. It may do no more than what it is made with, and ends with the key that made it."""
    granted = with_implied(scopes)
    if missing := granted - maker.scopes:
        raise WrongScope({"needed": sorted(missing)})
    if await keys.count_keys(conn, maker.user.id) >= MAX_KEYS:
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
    await keys.insert_key(conn, maker.user.id, key, digest(secret))
    return key, secret


async def revoke_key(conn: Connection, user_id: UUID, key_id: UUID) -> None:
    """The key is of no use from now on."""
    if not await keys.revoke_key(conn, user_id, key_id):
        raise NotFound
