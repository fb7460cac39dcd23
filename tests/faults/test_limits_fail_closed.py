"""threats.md, section 1 B, row 25: without Valkey there are no limits, and so nobody gets in, costs work or gets mail.

In time is 2 seconds, as service.md, section 3, has it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.conftest import Serving
from tests.support.requests.burst import Answer, Call, burst, in_bursts
from tests.support.service.costs import cpu_seconds
from tests.support.service.process import AS_SHIPPED, Service, fresh_address
from tests.support.state.database_inspector import inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.people import Person, Walker, new_person

BACK_WITHIN = 5.0
RECOVERIES = 30


@pytest.fixture(scope="module")
def costly(fragile_serving: Serving) -> Iterator[Service]:
    """A service as shipped whose hashes cost a second of CPU, so that not one of them can go unseen."""
    slowly = {"LIMIT_RECOVERIES": "30/36000"}
    with fragile_serving(workers=2, **{**AS_SHIPPED, **slowly, "HASH_ITERATIONS": "3000000"}) as running:
        yield running


def a_resident(service: Service) -> tuple[Person, dict[str, str]]:
    """Somebody with an account, and the session keys of flows that wait for their codes."""
    person, new = new_person("resident"), new_person("new")
    with service.walker() as walk:
        walk.register(person)
        keys = {"login": walk.open_login(person)[0], "recover": walk.open_recovery(person)[0]}
        keys["register"] = walk.open_registration(new)[0]
    return person, keys


def every_start_and_step(person: Person, keys: dict[str, str]) -> list[Call]:
    """Whatever costs a guess, a hash or a mail."""
    new = new_person("later")
    starts: list[Call] = [
        ("/login", {"login": person.login, "password": person.password}),
        ("/login", {"login": person.email, "password": "a wrong one 4711"}),
        ("/login", {"login": new.login, "password": new.password}),
        ("/register", {"email": new.email, "login": new.login, "password": new.password}),
        ("/recover", {"email": person.email}),
        ("/recover", {"email": new.email}),
        ("/recover/password", {"session_key": keys["recover"], "password": "a new one 4711"}),
        ("/register/login", {"session_key": keys["register"], "login": new.login}),
    ]
    codes: list[Call] = [
        (f"/{flow}/confirm", {"session_key": key, "code": code})
        for flow, key in keys.items()
        for code in ("0000", "A" * 26)
    ]
    return starts + codes + [(f"/{flow}/resend", {"session_key": key}) for flow, key in keys.items()]


def is_an_honest_503(answer: Answer) -> bool:
    return answer.outcome == (503, "unavailable") and "\r\nretry-after: " in answer.head.lower()


def test_row_25_without_valkey_all_are_refused_nothing_is_hashed_and_nobody_is_mailed(
    costly: Service, fragile: Stack, mailbox: Mailbox
) -> None:
    person, keys = a_resident(costly)
    with inspect_database(costly) as db:
        db.wait_until_all_mail_has_left()
    with costly.walker() as walk:
        before = cpu_seconds(costly)
        assert walk.post("/login", login=person.login, password="a wrong one 4711").status_code == 401
        one_hash = cpu_seconds(costly) - before
        mails, running = len(mailbox.mails()), costly.pid

        fragile.valkey.stop()
        before = cpu_seconds(costly)
        # Two rounds: the first one meets connections that were good a moment ago, the second one makes new ones.
        answers = in_bursts(costly, every_start_and_step(person, keys) * 2, size=17)
        spent = cpu_seconds(costly) - before
        assert [answer.outcome for answer in answers if not is_an_honest_503(answer)] == []
        timed = [walk.post(path, **body) for path, body in every_start_and_step(person, keys)]
        assert {answer.status_code for answer in timed} == {503}
        assert max(answer.elapsed.total_seconds() for answer in timed) < 2
        # Were a single password of these hashed, it would have cost as much as all of them did.
        assert spent < one_hash, f"{spent:.2f} s for {len(answers)} refusals, {one_hash:.2f} s for a hash"

        fragile.valkey.start()
        eventually(
            lambda: walk.post("/login", login=person.login, password=person.password).status_code == 202, BACK_WITHIN
        )
        assert costly.pid == running
    with inspect_database(costly) as db:
        db.wait_until_all_mail_has_left()
    # One mail for each log-in that was let in at last; what was refused is not mailed later either.
    later = mailbox.mails()[mails:]
    assert {mail.to for mail in later} == {person.email}
    assert len(later) == 1


def test_row_25_no_guess_is_evaluated_or_charged_while_valkey_is_away(
    costly: Service, fragile: Stack, mailbox: Mailbox
) -> None:
    person = new_person("guessed")
    with costly.client() as client:
        walk = Walker(client, mailbox)
        walk.register(person)
        key, code = walk.open_recovery(person)
        with inspect_database(costly) as db:
            db.wait_until_all_mail_has_left()
        fragile.valkey.stop()
        calls: list[Call] = [
            ("/recover/confirm", {"session_key": key, "code": guess}) for guess in (code, "000000000000") * 20
        ]
        assert all(is_an_honest_503(answer) for answer in in_bursts(costly, calls))
        fragile.valkey.start()
        eventually(lambda: client.get("/health/ready").status_code == 200, BACK_WITHIN)
        wrong = [walk.confirm("recover", key, "000000000000").json()["attempts_left"] for _ in range(2)]
        assert wrong == [2, 1]
        assert walk.confirm("recover", key, code).status_code == 200


def test_row_25_a_restart_of_valkey_fills_no_bucket(costly: Service, fragile: Stack) -> None:
    address = fresh_address()

    def passed(times: int) -> int:
        calls: list[Call] = [("/recover", {"email": f"nobody-{number}@example.net"}) for number in range(times)]
        return sum(answer.status == 202 for answer in burst(costly, calls, address))

    assert passed(20) == 20
    fragile.valkey.stop()
    assert passed(20) == 0
    fragile.valkey.start()
    costly.wait_until_ready()
    assert passed(40) == RECOVERIES - 20
