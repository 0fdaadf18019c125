"""Accounts, as the installation's admins manage them."""

from math import ceil
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from brightrun.api import passwords
from brightrun.api.actions import accounts
from brightrun.api.actions import users as actions
from brightrun.api.errors import AdminOnly, EmailTaken, LastAdmin
from brightrun.api.queries import users
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Admin, Limit, Page
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.body import Pagination
from brightrun.api.schemas.users import ChangeUser, CreateUser, ManagedUser, ResetPassword, UserPage
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.http import Envelope

router = APIRouter(
    prefix="/admin/users", tags=["administration"], route_class=BoundedRoute, responses=refuses(AdminOnly)
)

Text = Annotated[str, Query(max_length=320, pattern=r"^[^\x00]*$", description="part of the address or the name")]


@router.get("", summary="All accounts, newest first")
async def list_users(_: Admin, pool: Db, page: Page = 1, limit: Limit = 20, search: Text = "") -> Envelope[UserPage]:
    """Or those that `search` is found in, however it is capitalized."""
    found = await users.list_users(pool, search, limit, (page - 1) * limit)
    total = await users.count_users(pool, search)
    return Envelope(
        data=UserPage(
            users=[ManagedUser.model_validate(user) for user in found],
            pagination=Pagination(page=page, limit=limit, total=total, totalPages=ceil(total / limit)),
        )
    )


@router.post("", status_code=201, summary="Open an account for somebody", responses=refuses(EmailTaken))
async def create_user(body: CreateUser, _: Admin, pool: Db) -> Envelope[ManagedUser]:
    """Where sign-up is closed as well."""
    password_hash = await passwords.hash_password(body.password) if body.password else None
    async with transaction(pool) as conn:
        user = await accounts.open_account(conn, body.email, body.name, body.role, password_hash)
    return Envelope(data=ManagedUser.model_validate(user))


@router.patch("/{user_id}", summary="Change an account's role, disable or enable it", responses=refuses(LastAdmin))
async def change_user(user_id: UUID, body: ChangeUser, _: Admin, pool: Db) -> Envelope[ManagedUser]:
    """Tokens of a disabled account do nothing. Enabled again, its keys do; its sessions have ended."""
    async with transaction(pool) as conn:
        user = await actions.change_user(conn, user_id, body.role, disabled=body.disabled)
    return Envelope(data=ManagedUser.model_validate(user))


@router.post("/{user_id}/password", summary="Give an account another password")
async def reset_password(user_id: UUID, body: ResetPassword, _: Admin, pool: Db) -> Envelope[ManagedUser]:
    """Its sessions end, its API keys go on."""
    password_hash = await passwords.hash_password(body.password)
    async with transaction(pool) as conn:
        user = await actions.reset_password(conn, user_id, password_hash)
    return Envelope(data=ManagedUser.model_validate(user))
