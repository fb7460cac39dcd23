"""The service is killed between two steps, and inside one: each step takes effect once, or not at all."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import httpx
import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.faults.conftest import Place
from tests.support.servers.proxy import Hold, Proxy
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.users.flows import before_their_last_answer
from tests.support.users.people import Person, Walker, a_wrong_code, new_person
from tests.support.users.waiting_flows import flow_id_of

CLAIM_SECONDS = 5


def test_every_flow_goes_on_after_a_kill_between_any_two_of_its_steps(fragile_serving: Serving) -> None:
    alice, twin = new_person("alice"), new_person("twin")
    with fragile_serving(CODE_RESEND_AFTER="0") as service, service.walker() as walk:
        walk.register(alice)
        register_key, _ = walk.open(
            "/register", twin.email, email=twin.email, login=alice.login, password=twin.password
        )
        login = walk.open_login(alice)
        recovery = walk.open_recovery(alice)
        assert walk.confirm("recover", recovery[0], a_wrong_code(recovery[1])).json()["attempts_left"] == 2
        _kill_and_start(service)

        resent = walk.open("/register/resend", twin.email, session_key=register_key)
        tokens = walk.confirm("login", *login)
        assert tokens.status_code == 200, tokens.text
        assert walk.confirm("recover", recovery[0], a_wrong_code(recovery[1])).json()["attempts_left"] == 1
        recovered = walk.confirm("recover", *recovery)
        assert recovered.status_code == 200, recovered.text
        _kill_and_start(service)

        taken = walk.confirm("register", *resent)
        assert (taken.status_code, taken.json()["code"]) == (409, "login_taken")
        assert walk.me(tokens.json()["access_token"]).status_code == 200
        changed = walk.post(
            "/recover/password", session_key=recovered.json()["session_key"], password="chosen after a kill"
        )
        assert changed.status_code == 204, changed.text
        _kill_and_start(service)

        chosen = walk.post("/register/login", session_key=register_key, login=twin.login)
        assert chosen.status_code == 201, chosen.text
        walk.log_in(twin)
        walk.log_in(alice.with_password("chosen after a kill"))


def _kill_and_start(service: Service) -> None:
    with inspect_database(service) as db:
        # A mail that has come is not settled yet; after a kill it would be sent anew, with another code.
        db.wait_until_all_mail_has_left()
    service.kill()
    service.start()


class Moment(StrEnum):
    """Where inside a step the service dies, in the order of time."""

    CLAIMED = "the step is claimed and PostgreSQL has heard nothing of it"
    EFFECTED = "the effect is in its transaction and COMMIT has not left"
    COMMITTED = "COMMIT has left and its answer is lost"
    ANSWERED = "the commit is known and Valkey has not heard of it"
    CLOSED = "the flow has been closed or moved on, and the client has no answer"

    @property
    def is_final(self) -> bool:
        """Whether the effect stands, so that a repeat must not have it again."""
        return self not in (Moment.CLAIMED, Moment.EFFECTED)


@dataclass(frozen=True)
class Act:
    """One request that passes a step, the status of its success, and a query that counts its effects."""

    path: str
    body: dict[str, object]
    success: int
    effects: str
    value: object

    @property
    def flow_id(self) -> bytes:
        return flow_id_of(str(self.body["session_key"]))

    def count(self, db: DatabaseInspector) -> int:
        return int(db.value(self.effects, self.value))

    def hold(self, moment: Moment, postgres: Proxy, valkey: Proxy) -> Hold:
        """Catch the service in the act."""
        key = f"flow:{{{self.flow_id.hex()}}}".encode()
        match moment:
            # The first statement of the transaction carries the id; statements are prepared, their text may not travel.
            case Moment.CLAIMED:
                return postgres.hold(self.flow_id)
            case Moment.EFFECTED:
                return postgres.hold(self.flow_id, b"COMMIT")
            case Moment.COMMITTED:
                return postgres.hold(self.flow_id, b"COMMIT", answer=True)
            # What Valkey hears of the flow is first the claim and then the end of the step.
            case Moment.ANSWERED:
                return valkey.hold(key, after=1)
            case Moment.CLOSED:
                return valkey.hold(key, after=1, answer=True)


@pytest.fixture
def service(place: Place) -> Service:
    place.service.wait_until_ready()
    return place.service


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.name.lower())
def test_a_step_takes_effect_once_wherever_inside_it_the_service_is_killed(
    moment: Moment, place: Place, walk: Walker, mailbox: Mailbox
) -> None:
    acts, pat = _one_act_of_each_kind(walk)
    with inspect_database(place.service) as db, ThreadPoolExecutor(len(acts)) as callers:
        # A mail that has just come may still be followed by words about its flow, which are not those of the step.
        db.wait_until_all_mail_has_left()
        holds = [act.hold(moment, place.postgres, place.valkey) for act in acts]
        asked = [callers.submit(_ask, walk, act) for act in acts]
        for hold in holds:
            hold.wait()
        place.service.kill()
        killed_at = time.monotonic()
        for hold in holds:
            hold.let_go(forward=False)
        assert [call.result() for call in asked] == [None] * len(acts), "somebody got an answer from the dead"
        assert [act.count(db) for act in acts] == [int(moment.is_final)] * len(acts)
        _nobody_is_half_registered(db)
        assert moment.is_final or db.value("SELECT count(*) FROM outbox") == 0, "a notice of what never happened"

        place.service.start()
        # A start that took long leaves no time to meet the claim of the dead: those who ask now would take effect.
        if time.monotonic() < killed_at + CLAIM_SECONDS - 2:
            early = [_ask(walk, act) for act in acts]
            if time.monotonic() < killed_at + CLAIM_SECONDS - 0.5:
                met = {(answer.status_code, answer.json()["code"]) for answer in early if answer}
                assert met == {(410, "flow_gone")}
        if moment is not Moment.CLOSED:
            time.sleep(max(0, killed_at + CLAIM_SECONDS + 0.3 - time.monotonic()))
        late = [(act.path, answer.status_code) for act in acts if (answer := _ask(walk, act))]
        assert late == [(act.path, 410 if moment.is_final else act.success) for act in acts]
        again = [(act.path, answer.status_code) for act in acts if (answer := _ask(walk, act))]
        assert again == [(act.path, 410) for act in acts]

        assert [act.count(db) for act in acts] == [1] * len(acts)
        _nobody_is_half_registered(db)
        db.wait_until_all_mail_has_left()
    assert [mail for mail in mailbox.mails(pat.email) if mail.code is None], "nobody told Pat of the new password"


def _one_act_of_each_kind(walk: Walker) -> tuple[list[Act], Person]:
    """Flows of five people, each before another step; and who of them is about to choose a new password."""
    accounts = "SELECT count(*) FROM users WHERE email = $1"
    marks = "SELECT count(*) FROM used_flow WHERE flow_id = $1 AND step = 'code'"
    changes = "SELECT version - 1 FROM users WHERE email = $1"
    expected = {
        "/register/confirm": (201, accounts),
        "/register/login": (201, accounts),
        "/login/confirm": (200, marks),
        "/recover/confirm": (200, marks),
        "/recover/password": (204, changes),
    }
    steps = before_their_last_answer(walk)
    acts = []
    for path, (person, body) in steps.items():
        success, query = expected[path]
        subject = flow_id_of(str(body["session_key"])) if query == marks else person.email
        acts.append(Act(path, body, success, query, subject))
    return acts, steps["/recover/password"][0]


def _ask(walk: Walker, act: Act) -> httpx.Response | None:
    try:
        return walk.post(act.path, **act.body)
    except httpx.TransportError:
        return None


def _nobody_is_half_registered(db: DatabaseInspector) -> None:
    assert db.rows("SELECT login FROM users WHERE id NOT IN (SELECT user_id FROM user_roles)") == []
