"""Accounts: sign up, in and out."""

from fastapi import APIRouter

from brightrun.api import passwords
from brightrun.api.actions.accounts import register, sign_in
from brightrun.api.errors import SignupClosed, WrongCredentials
from brightrun.api.queries import accounts
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Configured, Reader, Token
from brightrun.api.rules.sessions import digest
from brightrun.api.schemas.accounts import Account, Login, Register, SignedInAccount, UserView
from brightrun.runtime.database import transaction
from brightrun.runtime.http import Answer, Db

router = APIRouter(prefix="/auth", tags=["accounts"], route_class=BoundedRoute)


@router.post("/register", status_code=201, summary="Open an account and sign in")
async def post_register(body: Register, pool: Db, settings: Configured) -> Answer[SignedInAccount]:
    """The first account of an installation is its admin."""
    if not settings.signup_open:
        raise SignupClosed
    password_hash = await passwords.hash_password(body.password)
    async with transaction(pool) as conn:
        user = await register(conn, body.email, body.name, password_hash)
        token = await sign_in(conn, user, settings.session_lifetime)
    return Answer(data=SignedInAccount(user=UserView.model_validate(user), token=token))


@router.post("/login", summary="Sign in")
async def post_login(body: Login, pool: Db, settings: Configured) -> Answer[SignedInAccount]:
    """An unknown address and a wrong password are answered alike, and take as long."""
    known = await accounts.find_by_email(pool, body.email)
    user, password_hash = known or (None, None)
    if not await passwords.fits(body.password, password_hash) or user is None:
        raise WrongCredentials
    async with transaction(pool) as conn:
        token = await sign_in(conn, user, settings.session_lifetime)
    return Answer(data=SignedInAccount(user=UserView.model_validate(user), token=token))


@router.post("/logout", summary="Sign out")
async def post_logout(_: Reader, token: Token, pool: Db) -> Answer[None]:
    """The token that is sent is of no use afterwards."""
    async with transaction(pool) as conn:
        await accounts.delete_session(conn, digest(token))
    return Answer(data=None)


@router.get("/me", summary="Who is signed in")
async def get_me(user: Reader) -> Answer[Account]:
    """The owner of the token."""
    return Answer(data=Account(user=UserView.model_validate(user)))
