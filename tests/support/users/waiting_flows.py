"""A flow of each kind that was opened and waits for its mail, which something may keep from coming."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import dataclass

from devstack.mailbox import Mailbox
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.people import Person, Walker, new_person


def flow_id_of(session_key: str) -> bytes:
    """The half of a session key that is no secret."""
    return urlsafe_b64decode(session_key)[:16]


@dataclass(frozen=True, slots=True)
class WaitingFlow:
    """A flow that waits for its code, and how many mails its person had before."""

    name: str
    person: Person
    session_key: str
    already: int

    def codes(self, mailbox: Mailbox) -> list[str]:
        """The codes mailed for this flow so far, oldest first."""
        return [mail.code for mail in mailbox.mails(self.person.email)[self.already :] if mail.code]

    def confirm(self, walk: Walker, code: str) -> None:
        """Pass the flow's first step."""
        answer = walk.confirm(self.name, self.session_key, code)
        assert answer.status_code == (201 if self.name == "register" else 200), (self.name, answer.text)


@dataclass(frozen=True, slots=True)
class Trio:
    """Three people: Nora has no account, Lou will log in, and Rea has lost her password."""

    nora: Person
    lou: Person
    rea: Person

    @property
    def forms(self) -> dict[str, tuple[Person, dict[str, object]]]:
        """What each of them sends to begin, by the name of the flow."""
        return {
            "register": (
                self.nora,
                {"email": self.nora.email, "login": self.nora.login, "password": self.nora.password},
            ),
            "login": (self.lou, {"login": self.lou.login, "password": self.lou.password}),
            "recover": (self.rea, {"email": self.rea.email}),
        }

    def open(self, walk: Walker) -> list[WaitingFlow]:
        """Begin all three flows; each is answered within a second, whatever becomes of its mail."""
        return [self._begin(walk, name, person, form) for name, (person, form) in self.forms.items()]

    def _begin(self, walk: Walker, name: str, person: Person, form: dict[str, object]) -> WaitingFlow:
        already = len(walk.mailbox.mails(person.email))
        answer = walk.post(f"/{name}", **form)
        assert answer.status_code == 202, (name, answer.text)
        assert answer.elapsed.total_seconds() < 1, name
        return WaitingFlow(name, person, answer.json()["session_key"], already)


def a_trio(walk: Walker) -> Trio:
    """Three people whom no other test knows, with the accounts that they need."""
    trio = Trio(*(new_person(name) for name in ("nora", "lou", "rea")))
    walk.register(trio.lou)
    walk.register(trio.rea)
    return trio


def skip_the_back_off(db: DatabaseInspector) -> None:
    """Make delayed mail due now: how long it is delayed is another test's matter. A lease is shorter, and stays."""
    db.rows("UPDATE outbox SET due_at = now() WHERE failed_at IS NULL AND due_at > now() + interval '8 s'")
