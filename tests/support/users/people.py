"""People who use the service: what they know, and the flows as they walk through them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Protocol, Self

import httpx

from devstack.mailbox import Mail
from models.values.flow import SPECS
from models.values.locale import Locale
from template_message.render import HERE as TEMPLATES

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Person:
    """An e-mail address, a login and a password; whether they have an account is another matter."""

    email: str
    login: str
    password: str

    def with_password(self, password: str) -> Person:
        return replace(self, password=password)


def new_person(name: str = "someone") -> Person:
    """A person whom no other test knows."""
    number = next(_numbers)
    return Person(f"{name}-{number}@example.com", f"{name}-{number}", f"correct horse battery {number}")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a log-in or a refresh gives."""

    access: str
    refresh: str

    @classmethod
    def of(cls, answer: httpx.Response) -> Self:
        assert answer.status_code == 200, answer.text
        return cls(answer.json()["access_token"], answer.json()["refresh_token"])


class Inbox(Protocol):
    """Whatever mail arrives in: the mailbox of the embedded servers, or Mailpit."""

    def mails(self, to: str | None = None) -> list[Mail]:
        """Every mail to the address, the oldest first."""

    def wait_for(self, to: str, count: int = 1, timeout: float = 10) -> Mail:
        """Wait until the address has got that many, and return the newest."""


def _subjects(mail: str) -> list[tuple[str, str]]:
    """What stands before and after the name of the service in the subject of a mail, in each language."""
    subjects = [(TEMPLATES / locale / mail / "subject.txt").read_text().strip() for locale in Locale]
    return [(before, after) for before, _, after in (subject.partition("{{ service }}") for subject in subjects)]


_SUBJECTS = {spec.name: _subjects(spec.mail) for spec in SPECS.values()}


def is_about(mail: Mail, flow: str) -> bool:
    """Whether the mail has the code of a flow of that kind; every mail does when none is named."""
    return not flow or any(
        mail.subject.startswith(before) and mail.subject.endswith(after) for before, after in _SUBJECTS[flow]
    )


class Walker:
    """Walks a person through flows by HTTP and the mails that the SMTP server received."""

    def __init__(self, client: httpx.Client, mailbox: Inbox) -> None:
        self.client = client
        self.mailbox = mailbox

    def post(self, path: str, **body: object) -> httpx.Response:
        return self.client.post(path, json=body)

    def codes(self, email: str, flow: str = "") -> list[str]:
        """Every code that the address was mailed, or those of one flow; notices come between them when they like."""
        return [mail.code for mail in self.mailbox.mails(email) if mail.code and is_about(mail, flow)]

    def next_code(self, email: str, already: int, flow: str = "") -> str:
        """The first code to the address after the ``already`` ones that it had."""
        while True:
            seen, codes = len(self.mailbox.mails(email)), self.codes(email, flow)
            if len(codes) > already:
                return codes[already]
            self.mailbox.wait_for(email, seen + 1)

    def open(self, path: str, to: str, **body: object) -> tuple[str, str]:
        """Start a flow that mails a code to the address; return its session key and the code."""
        flow = path.split("/")[1]
        already = len(self.codes(to, flow))
        answer = self.post(path, **body)
        assert answer.status_code == 202, answer.text
        return answer.json()["session_key"], self.next_code(to, already, flow)

    def open_registration(self, person: Person) -> tuple[str, str]:
        return self.open("/register", person.email, email=person.email, login=person.login, password=person.password)

    def open_login(self, person: Person, *, by_email: bool = False) -> tuple[str, str]:
        identifier = person.email if by_email else person.login
        return self.open("/login", person.email, login=identifier, password=person.password)

    def open_recovery(self, person: Person) -> tuple[str, str]:
        return self.open("/recover", person.email, email=person.email)

    def confirm(self, flow: str, session_key: str, code: str) -> httpx.Response:
        return self.post(f"/{flow}/confirm", session_key=session_key, code=code)

    def register(self, person: Person) -> dict[str, object]:
        """All of a registration; return the new user."""
        answer = self.confirm("register", *self.open_registration(person))
        assert answer.status_code == 201, answer.text
        user: dict[str, object] = answer.json()
        return user

    def open_session(self, person: Person) -> Tokens:
        """All of a log-in."""
        answer = self.confirm("login", *self.open_login(person))
        assert answer.status_code == 200, answer.text
        return Tokens.of(answer)

    def log_in(self, person: Person) -> str:
        """All of a log-in; return the access token."""
        return self.open_session(person).access

    def refresh(self, token: str) -> httpx.Response:
        return self.post("/token/refresh", refresh_token=token)

    def recover(self, person: Person, password: str) -> Person:
        """All of a recovery; return the person with the new password."""
        answer = self.confirm("recover", *self.open_recovery(person))
        assert answer.status_code == 200, answer.text
        answer = self.post("/recover/password", session_key=answer.json()["session_key"], password=password)
        assert answer.status_code == 204, answer.text
        return person.with_password(password)

    def log_out(self, token: str) -> httpx.Response:
        return self.client.post("/logout", headers={"Authorization": f"Bearer {token}"})

    def me(self, token: str) -> httpx.Response:
        return self.client.get("/me", headers={"Authorization": f"Bearer {token}"})


def a_wrong_code(code: str) -> str:
    """A code of the same length that is not this one."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
