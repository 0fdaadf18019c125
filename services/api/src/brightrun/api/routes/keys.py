"""API keys: for programs that act for their owner."""

from uuid import UUID

from fastapi import APIRouter

from brightrun.api.actions import keys as actions
from brightrun.api.errors import TooManyKeys
from brightrun.api.queries import keys
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Holder, HolderGrant
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.keys import CreatedKey, CreateKey, Keys, KeyView
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/keys", tags=["keys"], route_class=BoundedRoute)


@router.post("", status_code=201, summary="Make an API key", responses=refuses(TooManyKeys))
async def create_key(body: CreateKey, grant: HolderGrant, pool: Db) -> Envelope[CreatedKey]:
    """The key is in this answer and nowhere else. One that is made with another key ends with it."""
    async with transaction(pool) as conn:
        key, secret = await actions.create_key(conn, grant, body.name, body.scopes, body.end(utc_now()))
    return Envelope(data=CreatedKey(**KeyView.model_validate(key).__dict__, key=secret))


@router.get("", summary="Your API keys")
async def list_keys(user: Holder, pool: Db) -> Envelope[Keys]:
    """Those that are not revoked, newest first."""
    return Envelope(data=Keys(keys=[KeyView.model_validate(key) for key in await keys.list_keys(pool, user.id)]))


@router.delete("/{key_id}", summary="Revoke an API key")
async def revoke_key(key_id: UUID, user: Holder, pool: Db) -> Envelope[None]:
    """It is of no use from now on."""
    async with transaction(pool) as conn:
        await actions.revoke_key(conn, user.id, key_id)
    return Envelope(data=None)
