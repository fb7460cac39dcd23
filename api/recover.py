"""POST /recover: a new password for whoever reads the mail."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import Recover
from api.json_body import StrictJsonRoute
from api.problems import ALWAYS, documented
from models.answers import FlowOpened, NextStep
from models.errors import FlowGone, StepOutOfOrder, TooSoon, WeakPassword, WrongCode
from models.forms import CodeConfirmation, PasswordChoice, Recovery, ResendRequest

router = APIRouter(prefix="/recover", tags=["recover"], route_class=StrictJsonRoute)


@router.post("", status_code=202, responses=documented(*ALWAYS))
async def open_recovery(form: Recovery, recover: Recover) -> FlowOpened:
    """Open a flow and have a code mailed, should the address have an account; the answer is the same if not."""
    return await recover.start(form.email)


@router.post("/confirm", responses=documented(*ALWAYS, WrongCode, StepOutOfOrder, FlowGone))
async def confirm_recovery(form: CodeConfirmation, recover: Recover) -> NextStep:
    """Trade the mailed code for a new session key, which opens /recover/password; the old key is dead."""
    return await recover.confirm(form.session_key.get_secret_value(), form.code)


@router.post("/password", status_code=204, responses=documented(*ALWAYS, WeakPassword, StepOutOfOrder, FlowGone))
async def choose_new_password(form: PasswordChoice, recover: Recover) -> None:
    """Set the new password; its owner is told by mail."""
    await recover.set_password(form.session_key.get_secret_value(), form.password.get_secret_value())


@router.post("/resend", status_code=202, responses=documented(*ALWAYS, StepOutOfOrder, FlowGone, TooSoon))
async def resend_recovery_code(form: ResendRequest, recover: Recover) -> FlowOpened:
    """Have another code mailed; the session key stays, and so do the guesses spent."""
    return await recover.resend(form.session_key.get_secret_value())
