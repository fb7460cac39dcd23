"""POST /register: an account for whoever reads the mail."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import Register, WishedLocale
from api.json_body import StrictJsonRoute
from api.problems import ALWAYS, documented
from models.answers import FlowOpened, UserProfile
from models.errors import FlowGone, LoginTaken, StepOutOfOrder, TooSoon, WeakPassword, WrongCode
from models.forms import CodeConfirmation, LoginChoice, Registration, ResendRequest

router = APIRouter(prefix="/register", tags=["register"], route_class=StrictJsonRoute)


@router.post("", status_code=202, responses=documented(*ALWAYS, WeakPassword))
async def open_registration(form: Registration, register: Register, wished: WishedLocale) -> FlowOpened:
    """Open a registration and have a code mailed. The answer is the same for a taken e-mail or login."""
    return await register.start(form.email, form.login, form.password.get_secret_value(), form.locale or wished)


@router.post(
    "/confirm", status_code=201, responses=documented(*ALWAYS, WrongCode, LoginTaken, StepOutOfOrder, FlowGone)
)
async def confirm_registration(form: CodeConfirmation, register: Register) -> UserProfile:
    """Trade the mailed code for an account. When the login was taken meanwhile, go on at /register/login."""
    return await register.confirm(form.session_key.get_secret_value(), form.code)


@router.post("/login", status_code=201, responses=documented(*ALWAYS, LoginTaken, StepOutOfOrder, FlowGone))
async def choose_another_login(form: LoginChoice, register: Register) -> UserProfile:
    """Choose another login, the first one being taken; the code needs no repeat."""
    return await register.choose_login(form.session_key.get_secret_value(), form.login)


@router.post("/resend", status_code=202, responses=documented(*ALWAYS, StepOutOfOrder, FlowGone, TooSoon))
async def resend_registration_code(form: ResendRequest, register: Register) -> FlowOpened:
    """Have another code mailed; the session key stays, and so do the guesses spent."""
    return await register.resend(form.session_key.get_secret_value())
