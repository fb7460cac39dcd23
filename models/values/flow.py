"""The flows as data: a name, steps in order, a mail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self
from uuid import UUID

from models.values.ladder import GUESSES_PER_FLOW


class Step(StrEnum):
    """An act that a flow waits for."""

    CODE = "code"  # prove that you read the mail
    LOGIN = "login"  # choose another login, the first one was taken
    PASSWORD = "password"  # noqa: S105 - choose a new password


_PATHS = {Step.CODE: "confirm", Step.LOGIN: "login", Step.PASSWORD: "password"}

TRIES = {Step.CODE: GUESSES_PER_FLOW, Step.LOGIN: 5, Step.PASSWORD: 5}
"""Tries a flow has at each step (design.md, sections 3 and 4)."""


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """What makes one kind of flow: its name, its steps after the opening request, and the mail of its code."""

    name: str
    steps: tuple[Step, ...]
    mail: str
    prefix: str = ""
    """Before the name in the path of its calls."""
    holder: UUID | None = None
    """Who alone may take its steps, if somebody signed in has begun it; see `session_key.new_session_key`."""

    def path(self, step: Step) -> str:
        """Where a client takes the step."""
        return f"{self.prefix}/{self.name}/{_PATHS[step]}"

    def held_by(self, user_id: UUID) -> Self:
        """The same in the hand of a user who is signed in."""
        return replace(self, holder=user_id)


REGISTER = FlowSpec("register", (Step.CODE, Step.LOGIN), mail="register_code")
LOGIN = FlowSpec("login", (Step.CODE,), mail="login_code")
RECOVER = FlowSpec("recover", (Step.CODE, Step.PASSWORD), mail="recover_code")
EMAIL = FlowSpec("email", (Step.CODE,), mail="email_code", prefix="/me")
DELETE = FlowSpec("delete", (Step.CODE,), mail="delete_code", prefix="/me")
SPECS = {spec.name: spec for spec in (REGISTER, LOGIN, RECOVER, EMAIL, DELETE)}

CODE_MAIL = "code"
"""The kind of outbox job that mints and mails a code."""

WAITING = "waiting"
"""Beside such a job: the flow as it waits, for a worker that gets both from the process that has just opened it."""
