"""The flows as data: a name, steps in order, a mail and its recipient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import Generic, Literal, Self, TypeVar
from uuid import UUID

from models.values.code_length_ladder import GUESSES_PER_FLOW
from models.values.flow_data import DeletionData, EmailChangeData, FlowData, LoginData, RecoverData, RegisterData

Data_co = TypeVar("Data_co", bound=FlowData, covariant=True)


class Step(StrEnum):
    """What a flow waits for."""

    CODE = "code"  # prove that you read the mail
    LOGIN = "login"  # choose another login, the first one was taken
    PASSWORD = "password"  # noqa: S105 - choose a new password


_PATHS = {Step.CODE: "confirm", Step.LOGIN: "login", Step.PASSWORD: "password"}

TRIES = {Step.CODE: GUESSES_PER_FLOW, Step.LOGIN: 5, Step.PASSWORD: 5}
"""Tries that a flow has at each step (service.md, sections 3 and 4)."""


class CodeRecipient(Enum):
    """Which address is mailed the code of a flow."""

    ACCOUNT = auto()
    """The address in the flow's data, which is that of the account ``user_id``: the account is not read again."""
    TYPED_IF_KNOWN = auto()
    """The address as typed, if an account has it; otherwise no mail is sent."""
    TYPED_UNLESS_TAKEN = auto()
    """The address as typed; if an account has it, its owner is mailed ``taken_mail`` instead of a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSpec(Generic[Data_co]):
    """One kind of flow."""

    name: str
    """In paths, in Valkey, in names of limits and in metrics; other documents call it the purpose."""
    data: type[Data_co]
    steps: tuple[Step, ...]
    """In order, after the opening request."""
    mail: str
    """The template of the mail with the code: a folder of ``template_message/<language>/``."""
    recipient: CodeRecipient
    start_limit: Literal["registrations", "logins", "recoveries"]
    """The setting of `LimitSettings` that bounds the starts by one client address."""
    taken_mail: str = ""
    """The template for an address that is taken; see `CodeRecipient.TYPED_UNLESS_TAKEN`."""
    prefix: str = ""
    """Path before the name."""
    holder: UUID | None = None
    """The only user who may take the steps, if the flow needs an access token; see `session_key.new_session_key`."""

    def path(self, step: Step) -> str:
        """Return the path at which a client takes the step."""
        return f"{self.prefix}/{self.name}/{_PATHS[step]}"

    def held_by(self, user_id: UUID) -> Self:
        """Return the same flow, open to one signed-in user alone."""
        return replace(self, holder=user_id)


REGISTER = FlowSpec(
    name="register",
    data=RegisterData,
    steps=(Step.CODE, Step.LOGIN),
    mail="register_code",
    recipient=CodeRecipient.TYPED_UNLESS_TAKEN,
    start_limit="registrations",
    taken_mail="account_exists",
)
LOGIN = FlowSpec(
    name="login",
    data=LoginData,
    steps=(Step.CODE,),
    mail="login_code",
    recipient=CodeRecipient.ACCOUNT,
    start_limit="logins",
)
RECOVER = FlowSpec(
    name="recover",
    data=RecoverData,
    steps=(Step.CODE, Step.PASSWORD),
    mail="recover_code",
    recipient=CodeRecipient.TYPED_IF_KNOWN,
    start_limit="recoveries",
)
EMAIL = FlowSpec(
    name="email",
    data=EmailChangeData,
    steps=(Step.CODE,),
    mail="email_code",
    recipient=CodeRecipient.TYPED_UNLESS_TAKEN,
    start_limit="recoveries",
    taken_mail="email_taken",
    prefix="/me",
)
DELETE = FlowSpec(
    name="delete",
    data=DeletionData,
    steps=(Step.CODE,),
    mail="delete_code",
    recipient=CodeRecipient.ACCOUNT,
    start_limit="recoveries",
    prefix="/me",
)
SPECS: dict[str, FlowSpec[FlowData]] = {spec.name: spec for spec in (REGISTER, LOGIN, RECOVER, EMAIL, DELETE)}

CODE_MAIL = "code"
"""The kind of outbox job that makes a code and mails it."""


@dataclass(frozen=True, slots=True)
class WaitingFlow:
    """A flow that waits for its code, as the mail worker sees it: without the session key's secret."""

    spec: FlowSpec[FlowData]
    data: FlowData
    subject: str
    """The address, as a keyed hash."""
    device: str
    """The known device that began the flow; empty for an unknown one."""
    minted: int = -1
    """Serial of the last code that was made, -1 before the first."""
    rung: int | None = None
    """Digits that the ladder has reserved for the flow, once it has."""
