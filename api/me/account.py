"""/me: users read and change their own account."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.deps import Account, CurrentPrincipal
from api.openapi.responses import (
    COMMON_PASSWORD,
    RATE_LIMITED_ERRORS,
    error_responses,
    permission_errors,
    validation_error,
)
from api.request_context import CurrentUser
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.errors import LoginTaken, WrongPassword
from models.requests.account import LocaleChange, LoginChange, PasswordChange
from models.responses.account import UserProfile
from models.values.locale import Locale
from models.values.permission import Permission

router = APIRouter(prefix="/me", tags=["account"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_LOCALES = " or ".join(f"'{locale}'" for locale in Locale)
_CHANGE = (*permission_errors(Permission.ACCOUNT_WRITE), *RATE_LIMITED_ERRORS)


@router.get(
    "",
    summary="Read your account",
    response_description="The account.",
    responses=error_responses(*permission_errors(Permission.ACCOUNT_READ)),
)
@requires(Permission.ACCOUNT_READ)
async def show_own_account(user: CurrentPrincipal) -> UserProfile:
    """Read the account of the access token, with its current roles and permissions."""
    return user.user


@router.put(
    "/password",
    status_code=204,
    response_class=Response,
    summary="Change your password",
    response_description="The password is changed; every other session has ended.",
    responses=error_responses(*_CHANGE, WrongPassword(), COMMON_PASSWORD),
)
@requires(Permission.ACCOUNT_WRITE)
async def change_own_password(form: PasswordChange, account: Account, owner: CurrentUser) -> None:
    """Set a new password. Every session except the current one ends, and you are notified by mail."""
    current, password = form.current_password.get_secret_value(), form.password.get_secret_value()
    await account.change_password(owner, current, password)


@router.put(
    "/login",
    summary="Change your login",
    response_description="The account with its new login.",
    responses=error_responses(*_CHANGE, WrongPassword(), LoginTaken()),
)
@requires(Permission.ACCOUNT_WRITE)
async def change_own_login(form: LoginChange, account: Account, owner: CurrentUser) -> UserProfile:
    """Set a new login. You are notified by mail."""
    return await account.change_login(owner, form.password.get_secret_value(), form.login)


@router.put(
    "/locale",
    summary="Change the language of your mails",
    response_description="The account with its new language.",
    responses=error_responses(*_CHANGE, validation_error("locale", f"Input should be {_LOCALES}")),
)
@requires(Permission.ACCOUNT_WRITE)
async def change_own_locale(form: LocaleChange, account: Account, owner: CurrentUser) -> UserProfile:
    """Set the language of the mails that you receive."""
    return await account.change_locale(owner, form.locale)
