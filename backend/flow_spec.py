"""The three flows as data: a name, steps in order, a mail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.ladder import GUESSES_PER_FLOW


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

    def path(self, step: Step) -> str:
        """Where a client takes the step."""
        return f"/{self.name}/{_PATHS[step]}"


REGISTER = FlowSpec("register", (Step.CODE, Step.LOGIN), mail="register_code")
LOGIN = FlowSpec("login", (Step.CODE,), mail="login_code")
RECOVER = FlowSpec("recover", (Step.CODE, Step.PASSWORD), mail="recover_code")
SPECS = {spec.name: spec for spec in (REGISTER, LOGIN, RECOVER)}

CODE_MAIL = "code"
"""The kind of outbox job that mints and mails a code."""
