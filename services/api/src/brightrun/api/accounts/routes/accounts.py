"""Accounts: sign up, in and out."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query

from brightrun.api.accounts import actions, passwords
from brightrun.api.accounts.authentication import Admin, Owner, OwnerGrant, Reader, ReaderGrant
from brightrun.api.accounts.errors import (
    AccountDisabled,
    AdminOnly,
    EmailTaken,
    LastAdmin,
    NoPassword,
    NotASession,
    SignupClosed,
    TooManyKeys,
    TooManyLoginAttempts,
    WrongCredentials,
)
from brightrun.api.accounts.queries import tokens, users
from brightrun.api.accounts.schemas import (
    Account,
    ChangeAccount,
    ChangePassword,
    ChangeUser,
    CreatedKey,
    CreateKey,
    CreateUser,
    Keys,
    KeyView,
    Login,
    ManagedUser,
    Register,
    ResetPassword,
    Sessions,
    SessionView,
    SignedInAccount,
    SignInMethods,
    UserPage,
    UserView,
)
from brightrun.api.http.errors import error_responses
from brightrun.api.http.parameters import Anonymous, AppSettings, Limit, Network, Page
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(prefix="/auth", tags=["accounts"], route_class=BoundedRoute)
UserAgent = Annotated[str, Header(include_in_schema=False)]


@router.get("/methods", summary="How to sign in here")
async def get_methods(_: Anonymous, settings: AppSettings) -> Envelope[SignInMethods]:
    """Whether there is more than the password, and whether one may open an account."""
    oidc = settings.oidc_name if settings.oidc_issuer else None
    return Envelope(data=SignInMethods(signup_open=settings.signup_open, oidc=oidc))


@router.post(
    "/register",
    status_code=201,
    summary="Open an account and sign in",
    responses=error_responses(SignupClosed, EmailTaken),
)
async def post_register(
    body: Register, _: Anonymous, pool: Db, settings: AppSettings, user_agent: UserAgent = ""
) -> Envelope[SignedInAccount]:
    """The first account of an installation is its admin."""
    if not settings.signup_open:
        raise SignupClosed
    password_hash = await passwords.hash_password(body.password)
    async with transaction(pool) as conn:
        user = await actions.register(conn, body.email, body.name, password_hash)
        token = await actions.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=SignedInAccount(user=UserView.model_validate(user), token=token))


@router.post(
    "/login", summary="Sign in", responses=error_responses(WrongCredentials, AccountDisabled, TooManyLoginAttempts)
)
async def post_login(
    body: Login, network: Anonymous, pool: Db, settings: AppSettings, user_agent: UserAgent = ""
) -> Envelope[SignedInAccount]:
    """An unknown address and a wrong password are answered alike, take as long, and have to wait alike."""
    async with transaction(pool) as conn:
        await actions.count_login_attempt(conn, body.email, network)
    known = await users.find_by_email(pool, body.email)
    user, password_hash = known or (None, None)
    if not await passwords.verify(body.password, password_hash) or user is None or password_hash is None:
        raise WrongCredentials
    if user.disabled_at:
        raise AccountDisabled
    async with transaction(pool) as conn:
        await actions.record_login(conn, body.email, network)
        if not await users.confirm_password(conn, user.id, password_hash):
            raise WrongCredentials
        token = await actions.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=SignedInAccount(user=UserView.model_validate(user), token=token))


@router.post("/logout", summary="Sign out", responses=error_responses(NotASession))
async def post_logout(grant: ReaderGrant, pool: Db) -> Envelope[None]:
    """The token that is sent is of no use afterwards."""
    if grant.session_id is None:
        raise NotASession
    await _end_session(pool, grant.user.id, grant.session_id)
    return Envelope(data=None)


@router.get("/me", summary="Who is signed in")
async def get_me(user: Reader) -> Envelope[Account]:
    """The owner of the token."""
    return Envelope(data=Account(user=UserView.model_validate(user)))


@router.patch("/me", summary="Change how you are called")
async def patch_me(body: ChangeAccount, user: Owner, pool: Db) -> Envelope[Account]:
    """The name is for people; nothing depends on it."""
    async with transaction(pool) as conn:
        await users.rename(conn, user.id, body.name)
    return Envelope(data=Account(user=UserView.model_validate(user).model_copy(update={"name": body.name})))


@router.post(
    "/password",
    summary="Change your password",
    responses=error_responses(WrongCredentials, NoPassword, TooManyLoginAttempts),
)
async def post_password(body: ChangePassword, grant: OwnerGrant, network: Network, pool: Db) -> Envelope[None]:
    """All your other sessions end; API keys go on. Guesses at the old password count as attempts to sign in."""
    user = grant.user
    async with transaction(pool) as conn:
        await actions.count_login_attempt(conn, user.email, network)
    old_hash = await users.find_password_hash(pool, user.id)
    if old_hash is None:
        raise NoPassword
    if not await passwords.verify(body.old_password, old_hash):
        raise WrongCredentials
    new_hash = await passwords.hash_password(body.new_password)
    async with transaction(pool) as conn:
        await actions.record_login(conn, user.email, network)
        await actions.change_password(conn, grant, old_hash, new_hash)
    return Envelope(data=None)


@router.get("/sessions", summary="Where you are signed in")
async def list_sessions(grant: OwnerGrant, pool: Db) -> Envelope[Sessions]:
    """Newest first."""
    found = await tokens.list_sessions(pool, grant.user.id)
    views = [
        SessionView(
            id=session.id,
            created_at=session.created_at,
            expires_at=session.expires_at,
            client=session.client,
            current=session.id == grant.session_id,
        )
        for session in found
    ]
    return Envelope(data=Sessions(sessions=views))


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


@keys.post("", status_code=201, summary="Make an API key", responses=error_responses(TooManyKeys))
async def create_key(body: CreateKey, grant: OwnerGrant, pool: Db) -> Envelope[CreatedKey]:
    """The key is in this answer and nowhere else. One that is made with another key ends with it."""
    async with transaction(pool) as conn:
        key, secret = await actions.create_key(conn, grant, body.name, body.scopes, body.end(utc_now()))
    return Envelope(data=CreatedKey(**KeyView.model_validate(key).__dict__, key=secret))


@keys.get("", summary="Your API keys")
async def list_keys(user: Owner, pool: Db) -> Envelope[Keys]:
    """Those that are not revoked, newest first."""
    return Envelope(data=Keys(keys=[KeyView.model_validate(key) for key in await tokens.list_keys(pool, user.id)]))


@keys.delete("/{key_id}", summary="Revoke an API key")
async def revoke_key(key_id: UUID, user: Owner, pool: Db) -> Envelope[None]:
    """It is of no use from now on."""
    async with transaction(pool) as conn:
        await actions.revoke_key(conn, user.id, key_id)
    return Envelope(data=None)


admin = APIRouter(
    prefix="/admin/users", tags=["administration"], route_class=BoundedRoute, responses=error_responses(AdminOnly)
)
Text = Annotated[str, Query(max_length=320, pattern=r"^[^\x00]*$", description="part of the address or the name")]


@admin.get("", summary="All accounts, newest first")
async def list_users(_: Admin, pool: Db, page: Page = 1, limit: Limit = 20, search: Text = "") -> Envelope[UserPage]:
    """Or those that `search` is found in, however it is capitalized."""
    found = await users.list_users(pool, search, limit, (page - 1) * limit)
    total = await users.count_users(pool, search)
    return Envelope(
        data=UserPage(
            users=[ManagedUser.model_validate(user) for user in found],
            pagination=Pagination.of(page, limit, total),
        )
    )


@admin.post("", status_code=201, summary="Open an account for somebody", responses=error_responses(EmailTaken))
async def create_user(body: CreateUser, _: Admin, pool: Db) -> Envelope[ManagedUser]:
    """Where sign-up is closed as well."""
    password_hash = await passwords.hash_password(body.password) if body.password else None
    async with transaction(pool) as conn:
        user = await actions.open_account(conn, body.email, body.name, body.role, password_hash)
    return Envelope(data=ManagedUser.model_validate(user))


@admin.patch(
    "/{user_id}", summary="Change an account's role, disable or enable it", responses=error_responses(LastAdmin)
)
async def change_user(user_id: UUID, body: ChangeUser, _: Admin, pool: Db) -> Envelope[ManagedUser]:
    """Tokens of a disabled account do nothing. Enabled again, its keys do; its sessions have ended."""
    async with transaction(pool) as conn:
        user = await actions.change_user(conn, user_id, body.role, disabled=body.disabled)
    return Envelope(data=ManagedUser.model_validate(user))


@admin.post("/{user_id}/password", summary="Give an account another password")
async def reset_password(user_id: UUID, body: ResetPassword, _: Admin, pool: Db) -> Envelope[ManagedUser]:
    """Its sessions end, its API keys go on."""
    password_hash = await passwords.hash_password(body.password)
    async with transaction(pool) as conn:
        user = await actions.reset_password(conn, user_id, password_hash)
    return Envelope(data=ManagedUser.model_validate(user))
