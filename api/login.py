"""POST /login: tokens for whoever knows the password and reads the mail."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import Login
from api.json_body import StrictJsonRoute
from api.problems import ALWAYS, documented
from models.answers import FlowOpened, Tokens
from models.errors import AccountBlocked, BadCredentials, FlowGone, StepOutOfOrder, TooSoon, WrongCode
from models.forms import CodeConfirmation, Credentials, ResendRequest

router = APIRouter(prefix="/login", tags=["login"], route_class=StrictJsonRoute)


@router.post("", status_code=202, responses=documented(*ALWAYS, BadCredentials))
async def open_login(form: Credentials, login: Login) -> FlowOpened:
    """Check the password, open a flow and have a code mailed."""
    return await login.start(form.login, form.password.get_secret_value())


@router.post("/confirm", responses=documented(*ALWAYS, WrongCode, StepOutOfOrder, FlowGone, AccountBlocked))
async def confirm_login(form: CodeConfirmation, login: Login) -> Tokens:
    """Trade the mailed code for tokens."""
    return await login.confirm(form.session_key.get_secret_value(), form.code)


@router.post("/resend", status_code=202, responses=documented(*ALWAYS, StepOutOfOrder, FlowGone, TooSoon))
async def resend_login_code(form: ResendRequest, login: Login) -> FlowOpened:
    """Have another code mailed; the session key stays, and so do the guesses spent."""
    return await login.resend(form.session_key.get_secret_value())
