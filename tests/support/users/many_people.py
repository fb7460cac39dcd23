"""Many people at once: their accounts and their recoveries, each from a client address of its own."""

from __future__ import annotations

from collections.abc import Sequence

from devstack.mailbox import Mailbox
from tests.support.requests.burst import Call, in_bursts
from tests.support.service.process import Service
from tests.support.users.people import Person, new_person


def confirming(flow: str, session_key: str, code: str) -> Call:
    """A guess at a flow's code."""
    return f"/{flow}/confirm", {"session_key": session_key, "code": code}


def registering(person: Person) -> Call:
    """The start of a registration."""
    return "/register", {"email": person.email, "login": person.login, "password": person.password}


def begun(service: Service, calls: Sequence[Call]) -> list[str]:
    """Start flows, some at once; return their session keys in the same order."""
    answers = in_bursts(service, calls)
    assert {answer.status for answer in answers} <= {202}, [answer.body for answer in answers if answer.status != 202]
    return [answer.json["session_key"] for answer in answers]


def newest_code(mailbox: Mailbox, person: Person, mails: int) -> str:
    """The code in the newest mail, once the person has had that many."""
    code = mailbox.wait_for(person.email, mails).code
    assert code is not None
    return code


def members(service: Service, mailbox: Mailbox, count: int) -> list[Person]:
    """People with accounts; one mail has been sent to each."""
    people = [new_person("member") for _ in range(count)]
    keys = begun(service, [registering(person) for person in people])
    guesses = [
        confirming("register", key, newest_code(mailbox, person, 1)) for person, key in zip(people, keys, strict=True)
    ]
    assert {answer.status for answer in in_bursts(service, guesses)} == {201}
    return people


def recoveries(service: Service, mailbox: Mailbox, people: Sequence[Person]) -> list[tuple[str, str]]:
    """A recovery of each person: session keys with their codes."""
    already = [len(mailbox.mails(person.email)) for person in people]
    keys = begun(service, [("/recover", {"email": person.email}) for person in people])
    codes = [newest_code(mailbox, person, mails + 1) for person, mails in zip(people, already, strict=True)]
    return list(zip(keys, codes, strict=True))


def metric(service: Service, name: str, purpose: str) -> float:
    """What ``/metrics`` says of a purpose's thermostat."""
    told = service.get("/metrics").text.splitlines()
    [value] = [line.rpartition(" ")[2] for line in told if line.startswith(f'{name}{{purpose="{purpose}"}}')]
    return float(value)
