"""The service is killed at any instant, again and again, while people walk through flows: what it has said stands."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

import httpx

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.users.people import Inbox, Person, Walker, new_person
from tests.support.users.waiting_flows import flow_id_of

PEOPLE = 4
CLAIM_SECONDS = 5


@dataclass
class Memory:
    """What one person was told by the service, and what they were about to be told when it died."""

    person: Person
    registered: bool = False
    passwords: list[str] = field(default_factory=list)
    """Those that may be the right one: two while nobody knows whether a change took effect."""
    tokens: list[str] = field(default_factory=list)
    """Those of living sessions; none while nobody knows whether a change took effect."""
    told: int = 0
    """How much was answered."""
    waiting: tuple[str, str] | None = None
    """The flow, by name and session key, that was opened and whose confirmation was not answered."""
    over: Event = field(default_factory=Event)
    """Set when the service is dead."""


class Dead(Exception):
    """No mail will come any more."""


def test_whatever_was_answered_before_a_kill_at_random_is_found_afterwards(
    fragile_serving: Serving, mailbox: Mailbox, *, full_counts: bool
) -> None:
    memories: list[Memory] = []
    with fragile_serving(workers=2 if full_counts else 1) as service:
        for _ in range(50 if full_counts else 5):
            memories += _live_until_the_kill(service, mailbox)
            killed_at = time.monotonic()
            service.start()
        time.sleep(max(0, killed_at + CLAIM_SECONDS - time.monotonic()))
        with inspect_database(service) as db:
            db.wait_until_all_mail_has_left()
            for memory in memories:
                with service.client() as client:
                    _check(memory, Walker(client, mailbox), db)
            assert db.rows("SELECT login FROM users WHERE id NOT IN (SELECT user_id FROM user_roles)") == []
        assert "unforeseen" not in service.log()
    told = sum(memory.told for memory in memories)
    assert told >= len(memories), "the service was killed too early to have said much"


def _live_until_the_kill(service: Service, mailbox: Mailbox) -> list[Memory]:
    memories = [Memory(new_person("life")) for _ in range(PEOPLE)]
    with ThreadPoolExecutor(PEOPLE) as people:
        lives = [people.submit(_live, service, memory) for memory in memories]
        time.sleep(random.uniform(0.3, 1.5))
        service.kill()
        for memory in memories:
            memory.over.set()
        for life in lives:
            life.result()
    return memories


def _live(service: Service, memory: Memory) -> None:
    """Register once; then log in and change the password until the service dies."""
    with service.walker() as walk:
        try:
            _register(walk, memory)
            for number in range(100):
                memory.tokens.append(_log_in(walk, memory))
                _change_password(walk, memory, f"{memory.person.password} {number}")
        except (httpx.TransportError, Dead):
            return


def _register(walk: Walker, memory: Memory) -> None:
    person = memory.person
    memory.passwords = [person.password]
    _pass_code(walk, memory, "register", email=person.email, login=person.login, password=person.password)
    memory.registered = True


def _log_in(walk: Walker, memory: Memory) -> str:
    answer = _pass_code(walk, memory, "login", login=memory.person.login, password=memory.passwords[-1])
    token: str = answer.json()["access_token"]
    return token


def _change_password(walk: Walker, memory: Memory, password: str) -> None:
    answer = _pass_code(walk, memory, "recover", email=memory.person.email)
    memory.passwords.append(password)
    # The old sessions end with the change, and nobody knows whether it happened before it is answered.
    memory.tokens = []
    changed = walk.post("/recover/password", session_key=answer.json()["session_key"], password=password)
    assert changed.status_code == 204, changed.text
    memory.passwords = [password]


def _pass_code(walk: Walker, memory: Memory, flow: str, **form: object) -> httpx.Response:
    already = _count_codes(walk.mailbox, memory.person)
    opened = walk.post(f"/{flow}", **form)
    assert opened.status_code == 202, opened.text
    memory.waiting = flow, opened.json()["session_key"]
    code = _next_code(walk.mailbox, memory, already)
    answer = walk.confirm(flow, memory.waiting[1], code)
    assert answer.status_code == (201 if flow == "register" else 200), (flow, answer.text)
    memory.waiting = None
    memory.told += 1
    return answer


def _count_codes(mailbox: Inbox, person: Person) -> int:
    return sum(mail.code is not None for mail in mailbox.mails(person.email))


def _next_code(mailbox: Inbox, memory: Memory, already: int) -> str:
    """Notices come in between, so that mails are not simply counted."""
    while not memory.over.wait(0.01):
        codes = [mail.code for mail in mailbox.mails(memory.person.email) if mail.code]
        if len(codes) > already:
            return codes[-1]
    raise Dead


def _check(memory: Memory, walk: Walker, db: DatabaseInspector) -> None:
    """Nothing that was answered is missing, what was not answered goes on or is done, and nothing is there twice."""
    assert [walk.me(token).status_code for token in memory.tokens] == [200] * len(memory.tokens)
    registered = memory.registered
    if memory.waiting is not None:
        flow, session_key = memory.waiting
        codes = [mail.code for mail in walk.mailbox.mails(memory.person.email) if mail.code]
        marked = db.value("SELECT count(*) FROM used_flow WHERE flow_id = $1", flow_id_of(session_key))
        answer = walk.confirm(flow, session_key, codes[-1])
        assert answer.status_code == (410 if marked else 201 if flow == "register" else 200), (flow, answer.text)
        registered = True
    assert db.value("SELECT count(*) FROM users WHERE email = $1", memory.person.email) == registered
    if registered:
        answers = [walk.post("/login", login=memory.person.login, password=word) for word in memory.passwords]
        assert sorted(answer.status_code for answer in answers) == [202, 401][: len(answers)]
