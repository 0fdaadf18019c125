"""Accounts: sign up, in and out."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query

from brightrun.api import errors
from brightrun.api.accounts import actions, audit_queries, schemas
from brightrun.api.accounts import token_queries as tokens
from brightrun.api.accounts import user_queries as users
from brightrun.api.accounts.authentication import Admin, AppPasswords, Owner, OwnerGrant, Reader, ReaderGrant
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Anonymous, AppLimits, AppSettings, Limit, Network, Page
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(prefix="/auth", tags=["accounts"], route_class=BoundedRoute)
UserAgent = Annotated[str, Header(include_in_schema=False)]


@router.get("/methods", summary="How to sign in here")
async def get_methods(_: Anonymous, settings: AppSettings) -> Envelope[schemas.SignInMethods]:
    """Whether there is more than the password, and whether one may open an account."""
    oidc = settings.oidc_name if settings.oidc_issuer else None
    return Envelope(data=schemas.SignInMethods(signup_open=settings.signup_open, oidc=oidc))


@router.post(
    "/register",
    status_code=201,
    summary="Open an account and sign in",
    responses=error_responses(errors.SignupClosed, errors.EmailTaken, errors.TooManyLoginAttempts),
)
async def post_register(
    body: schemas.Register,
    network: Anonymous,
    pool: Db,
    settings: AppSettings,
    limits: AppLimits,
    *,
    passwords: AppPasswords,
    user_agent: UserAgent = "",
) -> Envelope[schemas.SignedInAccount]:
    """The first account of an installation is its admin."""
    if not settings.signup_open:
        raise errors.SignupClosed
    async with transaction(pool) as conn:
        await actions.count_registration(conn, body.email, network, limits)
    password_hash = await passwords.hash(body.password)
    async with transaction(pool) as conn:
        user = await actions.register(conn, body.email, body.name, password_hash)
        await actions.record_registration(conn, body.email, network)
        token = await actions.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=schemas.SignedInAccount(user=user, token=token))


@router.post(
    "/login",
    summary="Sign in",
    responses=error_responses(errors.WrongCredentials, errors.AccountDisabled, errors.TooManyLoginAttempts),
)
async def post_login(
    body: schemas.Login,
    network: Anonymous,
    pool: Db,
    settings: AppSettings,
    limits: AppLimits,
    *,
    passwords: AppPasswords,
    user_agent: UserAgent = "",
) -> Envelope[schemas.SignedInAccount]:
    """An unknown address and a wrong password are answered alike, take as long, and have to wait alike."""
    async with transaction(pool) as conn:
        await actions.count_login_attempt(conn, body.email, network, limits)
    known = await users.find_by_email(pool, body.email)
    user, password_hash = known or (None, None)
    if not await passwords.verify(body.password, password_hash) or user is None or password_hash is None:
        raise errors.WrongCredentials
    if user.disabled_at:
        raise errors.AccountDisabled
    async with transaction(pool) as conn:
        await actions.record_login(conn, body.email, network)
        if not await users.confirm_password(conn, user.id, password_hash):
            raise errors.WrongCredentials
        token = await actions.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=schemas.SignedInAccount(user=user, token=token))


@router.post("/logout", summary="Sign out", responses=error_responses(errors.NotASession))
async def post_logout(grant: ReaderGrant, pool: Db) -> Envelope[None]:
    """The token that is sent is of no use afterwards."""
    if grant.session_id is None:
        raise errors.NotASession
    await _end_session(pool, grant.user.id, grant.session_id)
    return Envelope(data=None)


@router.get("/me", summary="Who is signed in")
async def get_me(user: Reader) -> Envelope[schemas.Account]:
    """The owner of the token."""
    return Envelope(data=schemas.Account(user=user))


@router.patch("/me", summary="Change how you are called")
async def patch_me(body: schemas.ChangeAccount, user: Owner, pool: Db) -> Envelope[schemas.Account]:
    """The name is for people; nothing depends on it."""
    async with transaction(pool) as conn:
        await users.rename(conn, user.id, body.name)
    return Envelope(data=schemas.Account(user=replace(user, name=body.name)))


@router.post(
    "/password",
    summary="Change your password",
    responses=error_responses(errors.WrongCredentials, errors.NoPassword, errors.TooManyLoginAttempts),
)
async def post_password(
    body: schemas.ChangePassword,
    grant: OwnerGrant,
    network: Network,
    pool: Db,
    limits: AppLimits,
    *,
    passwords: AppPasswords,
) -> Envelope[None]:
    """All your other sessions end; API keys go on. Guesses at the old password count as attempts to sign in."""
    user = grant.user
    async with transaction(pool) as conn:
        await actions.count_login_attempt(conn, user.email, network, limits)
    old_hash = await users.find_password_hash(pool, user.id)
    if old_hash is None:
        raise errors.NoPassword
    if not await passwords.verify(body.old_password, old_hash):
        raise errors.WrongCredentials
    new_hash = await passwords.hash(body.new_password)
    async with transaction(pool) as conn:
        await actions.record_login(conn, user.email, network)
        await actions.change_password(conn, grant, old_hash, new_hash)
    return Envelope(data=None)


@router.get("/sessions", summary="Where you are signed in")
async def list_sessions(grant: OwnerGrant, pool: Db) -> Envelope[schemas.Sessions]:
    """Newest first."""
    sessions = await tokens.list_sessions(pool, grant.user.id, grant.session_id)
    return Envelope(data=schemas.Sessions(sessions=sessions))


@router.delete("/sessions", summary="Sign out everywhere else")
async def delete_sessions(grant: OwnerGrant, pool: Db) -> Envelope[None]:
    """All sessions but the one that asks end."""
    async with transaction(pool) as conn:
        await tokens.delete_sessions(conn, grant.user.id, but=grant.session_id)
    return Envelope(data=None)


@router.delete("/sessions/{session_id}", summary="End one of your sessions")
async def delete_session(session_id: UUID, user: Owner, pool: Db) -> Envelope[None]:
    """Its token is of no use afterwards."""
    await _end_session(pool, user.id, session_id)
    return Envelope(data=None)


async def _end_session(pool: Pool, user_id: UUID, session_id: UUID) -> None:
    async with transaction(pool) as conn:
        if not await tokens.delete_session(conn, user_id, session_id):
            raise NotFound


keys = APIRouter(prefix="/keys", tags=["keys"], route_class=BoundedRoute)


@keys.post("", status_code=201, summary="Make an API key", responses=error_responses(errors.TooManyKeys))
async def create_key(
    body: schemas.CreateKey, grant: OwnerGrant, pool: Db, limits: AppLimits
) -> Envelope[schemas.CreatedKey]:
    """The key is in this answer and nowhere else. One that is made with another key ends with it."""
    async with transaction(pool) as conn:
        key, secret = await actions.create_key(
            conn, grant, body.name, body.scopes, body.end(utc_now()), most=limits.keys
        )
    return Envelope(data=schemas.CreatedKey(**dict(key), key=secret))


@keys.get("", summary="Your API keys")
async def list_keys(user: Owner, pool: Db) -> Envelope[schemas.Keys]:
    """Those that are not revoked, newest first."""
    return Envelope(data=schemas.Keys(keys=await tokens.list_keys(pool, user.id)))


@keys.delete("/{key_id}", summary="Revoke an API key")
async def revoke_key(key_id: UUID, user: Owner, pool: Db) -> Envelope[None]:
    """It is of no use from now on."""
    async with transaction(pool) as conn:
        await actions.revoke_key(conn, user.id, key_id)
    return Envelope(data=None)


admin = APIRouter(
    prefix="/admin/users",
    tags=["administration"],
    route_class=BoundedRoute,
    responses=error_responses(errors.AdminOnly),
)
Text = Annotated[str, Query(max_length=320, pattern=r"^[^\x00]*$", description="part of the address or the name")]


@admin.get("", summary="All accounts, newest first")
async def list_users(
    _: Admin, pool: Db, page: Page = 1, limit: Limit = 20, search: Text = ""
) -> Envelope[schemas.UserPage]:
    """Or those that `search` is found in, however it is capitalized."""
    found = await users.list_users(pool, search, limit, (page - 1) * limit)
    total = await users.count_users(pool, search)
    return Envelope(
        data=schemas.UserPage(
            users=found,
            pagination=Pagination.of(page, limit, total),
        )
    )


@admin.post("", status_code=201, summary="Open an account for somebody", responses=error_responses(errors.EmailTaken))
async def create_user(
    body: schemas.CreateUser, by: Admin, pool: Db, passwords: AppPasswords
) -> Envelope[schemas.ManagedUser]:
    """Where sign-up is closed as well."""
    password_hash = await passwords.hash(body.password) if body.password else None
    async with transaction(pool) as conn:
        user = await actions.open_account(conn, body.email, body.name, body.role, password_hash)
        await actions.record_change(conn, by, "user.create", user.id, email=user.email, role=user.role)
    return Envelope(data=schemas.ManagedUser.model_validate(user))


@admin.patch(
    "/{user_id}", summary="Change an account's role, disable or enable it", responses=error_responses(errors.LastAdmin)
)
async def change_user(user_id: UUID, body: schemas.ChangeUser, by: Admin, pool: Db) -> Envelope[schemas.ManagedUser]:
    """Tokens of a disabled account do nothing. Enabled again, its keys do; its sessions have ended."""
    async with transaction(pool) as conn:
        user = await actions.change_user(conn, user_id, body.role, disabled=body.disabled)
        await actions.record_change(conn, by, "user.change", user_id, **body.model_dump(exclude_none=True))
    return Envelope(data=schemas.ManagedUser.model_validate(user))


@admin.post("/{user_id}/password", summary="Give an account another password")
async def reset_password(
    user_id: UUID, body: schemas.ResetPassword, by: Admin, pool: Db, passwords: AppPasswords
) -> Envelope[schemas.ManagedUser]:
    """Its sessions end, its API keys go on."""
    password_hash = await passwords.hash(body.password)
    async with transaction(pool) as conn:
        user = await actions.reset_password(conn, user_id, password_hash)
        await actions.record_change(conn, by, "user.reset_password", user_id)
    return Envelope(data=schemas.ManagedUser.model_validate(user))


audit = APIRouter(prefix="/admin/audit", tags=["administration"], responses=error_responses(errors.AdminOnly))


@audit.get("", summary="What administrators changed, newest first")
async def list_audit_entries(_: Admin, pool: Db, page: Page = 1, limit: Limit = 20) -> Envelope[schemas.AuditPage]:
    """Users, prices, clusters, shares and priorities: who changed what, when, and how it ended."""
    entries, total = await audit_queries.list_entries(pool, limit, (page - 1) * limit)
    return Envelope(data=schemas.AuditPage(entries=entries, pagination=Pagination.of(page, limit, total)))
