"""Accounts: sign up, in and out."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header

from brightrun.api import passwords
from brightrun.api.actions import accounts as actions
from brightrun.api.actions import tries
from brightrun.api.errors import (
    AccountDisabled,
    EmailTaken,
    NoPassword,
    NotASession,
    SignupClosed,
    TooManyTries,
    WrongCredentials,
)
from brightrun.api.queries import accounts, sessions
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Configured, Holder, HolderGrant, Network, Reader, ReaderGrant, Visitor
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.accounts import (
    Account,
    ChangeAccount,
    ChangePassword,
    Login,
    Register,
    Sessions,
    SessionView,
    SignedInAccount,
    SignInMethods,
    UserView,
)
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/auth", tags=["accounts"], route_class=BoundedRoute)

UserAgent = Annotated[str, Header(include_in_schema=False)]


@router.get("/methods", summary="How to sign in here")
async def get_methods(_: Visitor, settings: Configured) -> Envelope[SignInMethods]:
    """Whether there is more than the password, and whether one may open an account."""
    oidc = settings.oidc_name if settings.oidc_issuer else None
    return Envelope(data=SignInMethods(signup_open=settings.signup_open, oidc=oidc))


@router.post(
    "/register", status_code=201, summary="Open an account and sign in", responses=refuses(SignupClosed, EmailTaken)
)
async def post_register(
    body: Register, _: Visitor, pool: Db, settings: Configured, user_agent: UserAgent = ""
) -> Envelope[SignedInAccount]:
    """The first account of an installation is its admin."""
    if not settings.signup_open:
        raise SignupClosed
    password_hash = await passwords.hash_password(body.password)
    async with transaction(pool) as conn:
        user = await actions.register(conn, body.email, body.name, password_hash)
        token = await actions.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=SignedInAccount(user=UserView.model_validate(user), token=token))


@router.post("/login", summary="Sign in", responses=refuses(WrongCredentials, AccountDisabled, TooManyTries))
async def post_login(
    body: Login, network: Visitor, pool: Db, settings: Configured, user_agent: UserAgent = ""
) -> Envelope[SignedInAccount]:
    """An unknown address and a wrong password are answered alike, take as long, and have to wait alike."""
    async with transaction(pool) as conn:
        await tries.count_try(conn, body.email, network)
    known = await accounts.find_by_email(pool, body.email)
    user, password_hash = known or (None, None)
    if not await passwords.fits(body.password, password_hash) or user is None or password_hash is None:
        raise WrongCredentials
    if user.disabled_at:
        raise AccountDisabled
    async with transaction(pool) as conn:
        await tries.note_success(conn, body.email, network)
        if not await accounts.still_has(conn, user.id, password_hash):
            raise WrongCredentials
        token = await actions.sign_in(conn, user.id, settings.session_lifetime, user_agent)
    return Envelope(data=SignedInAccount(user=UserView.model_validate(user), token=token))


@router.post("/logout", summary="Sign out", responses=refuses(NotASession))
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
async def patch_me(body: ChangeAccount, user: Holder, pool: Db) -> Envelope[Account]:
    """The name is for people; nothing depends on it."""
    async with transaction(pool) as conn:
        await accounts.rename(conn, user.id, body.name)
    return Envelope(data=Account(user=UserView.model_validate(user).model_copy(update={"name": body.name})))


@router.post("/password", summary="Change your password", responses=refuses(WrongCredentials, NoPassword, TooManyTries))
async def post_password(body: ChangePassword, grant: HolderGrant, network: Network, pool: Db) -> Envelope[None]:
    """All your other sessions end; API keys go on. Guesses at the old password count as attempts to sign in."""
    user = grant.user
    async with transaction(pool) as conn:
        await tries.count_try(conn, user.email, network)
    old_hash = await accounts.find_password_hash(pool, user.id)
    if old_hash is None:
        raise NoPassword
    if not await passwords.fits(body.old_password, old_hash):
        raise WrongCredentials
    new_hash = await passwords.hash_password(body.new_password)
    async with transaction(pool) as conn:
        await tries.note_success(conn, user.email, network)
        await actions.change_password(conn, grant, old_hash, new_hash)
    return Envelope(data=None)


@router.get("/sessions", summary="Where you are signed in")
async def list_sessions(grant: HolderGrant, pool: Db) -> Envelope[Sessions]:
    """Newest first."""
    found = await sessions.list_sessions(pool, grant.user.id)
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
async def delete_sessions(grant: HolderGrant, pool: Db) -> Envelope[None]:
    """All sessions but the one that asks end."""
    async with transaction(pool) as conn:
        await sessions.delete_sessions(conn, grant.user.id, but=grant.session_id)
    return Envelope(data=None)


@router.delete("/sessions/{session_id}", summary="End one of your sessions")
async def delete_session(session_id: UUID, user: Holder, pool: Db) -> Envelope[None]:
    """Its token is of no use afterwards."""
    await _end_session(pool, user.id, session_id)
    return Envelope(data=None)


async def _end_session(pool: Pool, user_id: UUID, session_id: UUID) -> None:
    async with transaction(pool) as conn:
        if not await sessions.delete_session(conn, user_id, session_id):
            raise NotFound
