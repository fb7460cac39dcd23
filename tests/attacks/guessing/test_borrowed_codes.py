"""threats.md, section 1 A, rows 9 to 15: what a code is bound to, how it is made and kept, and how it is written.

Rows 1 to 8 are in ``test_code_guessing.py``, rows 16 to 20 in ``test_skipped_steps.py``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta

import httpx
import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.attacks.disclosure.test_secrets_at_rest import PASSWORDS, Careless, everything_in_valkey, found_in, live
from tests.support.requests.burst import burst, outcomes, post, send
from tests.support.requests.hostile_bodies import CANARY
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import ROOT, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.time_travel import let_pass
from tests.support.users.flows import FLOWS, GONE, MALFORMED, WRONG_CODE, opened, outcome
from tests.support.users.many_people import begun, registering
from tests.support.users.people import Walker, a_wrong_code, new_person
from tests.support.users.waiting_flows import flow_id_of

TOO_SOON = (429, "too_soon")
ROOMS = ("alembic", "api", "backend", "commands", "database", "jwt_tools", "models", "redis_tools", "template_message")
"""All that serves; tests, bench and the embedded stack may draw as they like."""

MAILS = 22
RESCUE_CODE = re.compile(r"\b[A-Z2-7]{26}\b")


twelve = service_fixture(workers=2, CODE_DIGITS="12", LIMIT_MAILS=f"{MAILS}/86400")
"""A service whose codes have twelve digits: no two are equal by chance, and none turns up anywhere by chance."""


aging = service_fixture(workers=2)
"""A service whose time may pass."""


@pytest.fixture
def aging_walk(aging: Service) -> Iterator[Walker]:
    with aging.walker() as walk:
        yield walk


@pytest.fixture(scope="module")
def aging_db(aging: Service) -> Iterator[DatabaseInspector]:
    with inspect_database(aging) as looking:
        yield looking


def test_row_09_a_code_opens_no_other_flow_of_the_same_address(twelve: Service) -> None:
    with twelve.walker() as walk:
        walk.register(person := new_person("owner"))
        flows = [walk.open_recovery(person) for _ in range(20)]
        assert len({code for _, code in flows}) == 20
        for place, (key, own) in enumerate(flows):
            for other in (flows[place - 1], flows[(place + 1) % 20]):
                assert outcome(walk.confirm("recover", key, other[1])) == WRONG_CODE
            assert walk.confirm("recover", key, own).is_success


def test_row_09_a_code_opens_no_other_purpose_and_nobody_elses_flow(twelve: Service) -> None:
    with twelve.walker() as walk:
        for person in (alice := new_person("alice"), bob := new_person("bob")):
            walk.register(person)
        flows = {
            "login": walk.open_login(alice),
            "recover": walk.open_recovery(alice),
            "register": walk.open_registration(new_person("newcomer")),
        }
        bobs = walk.open_login(bob)
        for flow, (key, own) in flows.items():
            foreign = next(code for other, (_, code) in flows.items() if other != flow)
            for code in (foreign, bobs[1]):
                assert outcome(walk.confirm(flow, key, code)) == WRONG_CODE
            # The right code at another flow's route is not even compared.
            for elsewhere in flows.keys() - {flow}:
                assert outcome(walk.confirm(elsewhere, key, own)) == GONE
            assert walk.confirm(flow, key, own).is_success


@pytest.mark.parametrize("flow", FLOWS)
def test_row_10_a_resend_kills_the_old_code_and_forgives_no_guess(
    flow: str, aging_walk: Walker, aging_db: DatabaseInspector
) -> None:
    walk = aging_walk
    person, key, old = opened(walk, flow)
    assert walk.confirm(flow, key, a_wrong_code(old)).json()["attempts_left"] == 2
    for span in (0, 30):
        let_pass(aging_db, timedelta(seconds=span))
        refused = walk.post(f"/{flow}/resend", session_key=key)
        assert outcome(refused) == TOO_SOON
        assert 50 - span <= int(refused.headers["Retry-After"]) <= 60 - span
    let_pass(aging_db, timedelta(seconds=30))
    already = len(walk.codes(person.email))
    resent = walk.post(f"/{flow}/resend", session_key=key)
    assert outcome(resent) == (202, "")
    assert (resent.json()["session_key"], resent.json()["next"]) == (key, f"/{flow}/confirm")
    new = walk.next_code(person.email, already)
    assert outcome(walk.post(f"/{flow}/resend", session_key=key)) == TOO_SOON
    if new != old:
        assert walk.confirm(flow, key, old).json()["attempts_left"] == 1
    assert walk.confirm(flow, key, new).is_success


def test_row_10_ten_resends_are_five_and_bring_neither_guesses_nor_budget(
    aging_walk: Walker, aging_db: DatabaseInspector
) -> None:
    walk = aging_walk
    person, key, _ = opened(walk, "recover")
    lengths: list[int] = []
    answers = []
    for _ in range(10):
        let_pass(aging_db, timedelta(seconds=61))
        already = len(walk.codes(person.email))
        answers.append(walk.post("/recover/resend", session_key=key))
        if outcome(answers[-1]) == (202, ""):
            lengths.append(len(code := walk.next_code(person.email, already)))
    assert [outcome(answer) for answer in answers] == [(202, "")] * 5 + [TOO_SOON] * 5
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 1800
    # One flow has reserved its three guesses once, whatever it was mailed: the next still finds three at four digits.
    assert lengths == [4] * 5
    assert [outcome(walk.confirm("recover", key, a_wrong_code(code))) for _ in range(5)] == [WRONG_CODE] * 3 + [
        GONE
    ] * 2
    assert outcome(walk.post("/recover/resend", session_key=key)) == GONE
    assert [len(walk.open_recovery(person)[1]) for _ in range(2)] == [4, 6]


def test_row_10_guesses_between_resends_are_three_altogether(aging_walk: Walker, aging_db: DatabaseInspector) -> None:
    walk = aging_walk
    person, key, code = opened(walk, "login")
    for left in (2, 1, 0):
        assert walk.confirm("login", key, a_wrong_code(code)).json()["attempts_left"] == left
        let_pass(aging_db, timedelta(seconds=61))
        already = len(walk.codes(person.email))
        assert outcome(walk.post("/login/resend", session_key=key)) == ((202, "") if left else GONE)
        code = walk.next_code(person.email, already) if left else code
    assert outcome(walk.confirm("login", key, code)) == GONE


def test_row_10_resends_at_one_moment_are_one_resend(service: Service, walk: Walker) -> None:
    _, key, _ = opened(walk, "login")
    assert outcomes(burst(service, [("/login/resend", {"session_key": key})] * 32)) == {TOO_SOON: 32}


@pytest.mark.parametrize("flow", FLOWS)
def test_row_11_a_code_that_is_expired_is_wrong_and_costs_a_guess(
    flow: str, aging_walk: Walker, aging_db: DatabaseInspector
) -> None:
    _, key, code = opened(aging_walk, flow)
    let_pass(aging_db, timedelta(minutes=10, seconds=1))
    answers = [aging_walk.confirm(flow, key, code) for _ in range(4)]
    assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 3 + [GONE]
    assert [answer.json()["attempts_left"] for answer in answers[:3]] == [2, 1, 0]


@pytest.mark.parametrize("flow", FLOWS)
def test_row_11_a_code_as_shipped_ends_after_ten_minutes_and_another_may_be_had(
    flow: str, aging_walk: Walker, aging_db: DatabaseInspector
) -> None:
    walk = aging_walk
    person, key, code = opened(walk, flow)
    let_pass(aging_db, timedelta(minutes=10, seconds=1))
    assert walk.confirm(flow, key, code).json()["attempts_left"] == 2
    already = len(walk.codes(person.email))
    assert outcome(walk.post(f"/{flow}/resend", session_key=key)) == (202, "")
    code = walk.next_code(person.email, already)
    # Nine minutes later it is still good.
    let_pass(aging_db, timedelta(minutes=9))
    assert walk.confirm(flow, key, code).is_success


class Ear:
    """Hears every answer of the service: its status line, its headers with their cookies, and its body."""

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {}

    def __call__(self, answer: httpx.Response) -> None:
        head = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
        where = f"answer {len(self.heard)}, to {answer.request.method} {answer.request.url.path}"
        self.heard[where] = answer.reason_phrase.encode() + b"\n" + head + b"\n\n" + answer.read()


def test_row_12_no_answer_cookie_header_or_log_line_tells_a_code_or_a_password(
    twelve: Service, mailbox: Mailbox
) -> None:
    ear = Ear()
    before = len(mailbox.mails())
    hooks = {"response": [ear]}
    with (
        twelve.client(event_hooks=hooks) as client,
        twelve.client(event_hooks=hooks, headers={"X-Device": "new"}) as phone,
        inspect_database(twelve) as db,
    ):
        walk = Careless(client, mailbox)
        live(walk)
        live(on_phone := Careless(phone, mailbox))
        # A flood brings the owner rescue codes; they are secrets, too.
        walk.register(flooded := new_person("flooded"))
        assert len(begun(twelve, [("/recover", {"email": flooded.email})] * MAILS)) == MAILS
        db.wait_until_all_mail_has_left()
        rescues = [found[0] for mail in mailbox.mails(flooded.email) if (found := RESCUE_CODE.search(mail.text))]
        assert len(rescues) == 2
        key = walk.post("/recover", email=flooded.email).json()["session_key"]
        assert walk.confirm("recover", key, rescues[0]).status_code == 200
        db.wait_until_all_mail_has_left()
    assert any(b"set-cookie" in answer.lower() for answer in ear.heard.values())
    assert any(b"\nx-device" in answer.lower() for answer in ear.heard.values())
    codes = {mail.code for mail in mailbox.mails()[before:] if mail.code} | {*rescues}
    assert len(codes) > MAILS
    assert len(ear.heard) > 500
    texts = codes | walk.secrets.codes | on_phone.secrets.codes | {*PASSWORDS, CANARY}
    places = {**ear.heard, "the log": twelve.log().encode()}
    assert found_in(places, [text.encode() for text in texts]) == []


def drawn(service: Service, mailbox: Mailbox, count: int) -> list[tuple[str, str]]:
    """Session keys and codes of registrations, each of somebody new."""
    people = [new_person("draw") for _ in range(count)]
    flows = []
    for start in range(0, count, 250):
        # More than a thousand waiting mails would have starts refused, as they should be.
        some = people[start : start + 250]
        keys = begun(service, [registering(one) for one in some])
        flows += [
            (key, mailbox.wait_for(one.email, timeout=60).code or "") for key, one in zip(keys, some, strict=True)
        ]
    assert {len(code) for _, code in flows} == {4}
    return flows


@pytest.fixture(scope="module")
def draw(service: Service, stack: Stack, *, full_counts: bool) -> list[tuple[str, str]]:
    """Flows that wait, with their codes: so many that some codes are equal."""
    return drawn(service, stack.mailbox, 3000 if full_counts else 300)


def test_row_09_equal_codes_are_not_kept_equally(service: Service, draw: list[tuple[str, str]]) -> None:
    """Nothing is the same at rest in two flows, whose codes are: what is kept for one is worth nothing in the other.

    Three hundred codes without any two equal ones come once in ninety draws; then this says nothing.
    """
    with inspect_database(service) as db:
        kept = [db.valkey.hget(f"flow:{{{flow_id_of(key).hex()}}}", "mac") for key, _ in draw]
    assert None not in kept
    assert len({*kept}) == len(draw)


def looks_fair(codes: list[str]) -> bool:
    """The row's bounds: as many leading zeros as there should be (three sigma), and every digit at every place."""
    zeros = sum(code[0] == "0" for code in codes) / len(codes)
    expected = len(codes) / 10
    squares = [
        sum((Counter(code[place] for code in codes)[digit] - expected) ** 2 / expected for digit in "0123456789")
        for place in range(4)
    ]
    # Chi-square with 9 degrees of freedom is above 27.88 once in a thousand times.
    fair = abs(zeros - 0.1) <= 3.1 * (0.09 / len(codes)) ** 0.5 and max(squares) < 27.88
    # Of n codes drawn from 10,000 about n²/20,000 are repeats; a generator with few states would repeat itself more.
    return fair and len(codes) - len(set(codes)) < 20 + 2 * len(codes) ** 2 / 20_000


def test_row_13_every_digit_is_as_likely_at_every_place_and_a_zero_may_lead(
    service: Service, mailbox: Mailbox, draw: list[tuple[str, str]]
) -> None:
    # A fair draw misses these bounds once in about 150 times, two of them hardly ever.
    fair = looks_fair([code for _, code in draw])
    assert fair or looks_fair([code for _, code in drawn(service, mailbox, len(draw))])


def test_row_13_the_bounds_tell_a_biased_draw() -> None:
    # The predecessor drew from 1000 to 9999.
    assert not looks_fair([f"{1000 + 30 * n}" for n in range(300)])
    assert looks_fair([f"{n:04d}" for n in range(10_000)])


def test_row_13_no_generator_that_can_be_predicted_is_in_the_house() -> None:
    """Seven hundred codes of 13 bits cannot show the 19,937 bits of a Mersenne twister, whoever tries to predict it.

    What can be shown is that there is none: the standard library has it in ``random`` alone.
    """
    modules = [path for path in ROOT.glob("*/**/*.py") if path.relative_to(ROOT).parts[0] in ROOMS]
    assert len(modules) > 50
    for path in modules:
        names = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert "random" not in names, path


def broken_by_trying(kept: bytes, flow_id: bytes, session_key: str, purpose: str) -> list[tuple[str, str]]:
    """Codes, and the algorithms, whose digest lies in what was stolen; every code of four digits is tried."""
    names = (b"", flow_id, flow_id.hex().encode(), session_key.encode(), purpose.encode())
    found = []
    for code in (f"{number:04d}" for number in range(10_000)):
        for name in names:
            for algorithm in ("md5", "sha1", "sha256"):
                for message in {name + code.encode(), code.encode() + name}:
                    digest = hashlib.new(algorithm, message).digest()
                    # Half of a digest is proof enough, should only a part of it be kept.
                    if digest[:8] in kept or digest.hex()[:16].encode() in kept or b64encode(digest)[:10] in kept:
                        found.append((code, algorithm))
    return found


def digests_of(code: str, flow_id: bytes, session_key: str, purpose: str) -> Iterator[bytes]:
    """Every digest of the code alone, or beside what names its flow, as bytes, in hex and in base64."""
    digits, flow = code.encode(), purpose.encode()
    ids = (flow_id, flow_id.hex().encode(), flow_id.hex().upper().encode(), session_key.encode())
    bound = [part for name in ids for part in (name, name + b"\0" + flow + b"\0", name + flow)]
    for message in (digits, digits + b"\n", *(name + digits for name in bound), *(digits + name for name in bound)):
        for algorithm in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "sha3_256"):
            digest = hashlib.new(algorithm, message).digest()
            yield from (digest, digest.hex().encode(), b64encode(digest).rstrip(b"="))


def test_row_14_who_steals_valkey_finds_no_code_by_trying_all(
    service: Service, walk: Walker, *, full_counts: bool
) -> None:
    with inspect_database(service) as db:
        waiting = {flow: opened(walk, flow) for flow in (FLOWS if full_counts else FLOWS[-1:])}
        records = everything_in_valkey(db)
    for flow, (_, key, code) in waiting.items():
        flow_id = flow_id_of(key)
        record = records[f"Valkey, hash flow:{{{flow_id.hex()}}}"]
        assert b"\nmac\n" in record
        assert code.encode() not in record.split(b"\n")
        assert broken_by_trying(record, flow_id, key, flow) == []
        everything = b"\n".join(records.values())
        assert [form for form in digests_of(code, flow_id, key, flow) if form in everything] == []
    # The search does find what a careless service would keep.
    careless = record + hashlib.sha256(flow_id + b"0427").hexdigest().encode()
    assert broken_by_trying(careless, flow_id, key, flow) == [("0427", "sha256")]


def not_codes(code: str) -> Iterable[object]:
    """What a careless reader takes for the code, and what is almost a rescue code."""
    for zero in (0x660, 0xFF10):  # Arabic-Indic digits, and full-width ones
        yield code.translate({ord("0") + digit: zero + digit for digit in range(10)})
    yield from (f"+{code}", f"-{code}", f"{code[0]}_{code[1:]}", f" {code} ", f" {code}", f"{code} ", f"{code},{code}")
    yield from (f"{code}\n", f"\n{code}", f"{code}\0", f"{code}\u200b", f"{code}.0", f"{code}e0", f"0x{int(code):x}")
    yield from (True, None, float(code), int(code), {"$ne": 1}, {"code": code}, [code], [[code]])
    yield [f"{number:04d}" for number in range(0, 10_000, 5)]
    yield from (code[:3], "0" * 13, "", "A" * 25, "A" * 27, "a" * 26, "A" * 25 + "1", "A" * 25 + "8", "A" * 25 + "=")
    yield "A" * 26 + "\n"


@pytest.mark.parametrize("flow", FLOWS)
def test_row_15_a_code_in_any_other_form_is_malformed_and_spends_no_guess(
    flow: str, service: Service, walk: Walker
) -> None:
    _, key, code = opened(walk, flow)
    for alias in not_codes(code):
        answer = walk.post(f"/{flow}/confirm", session_key=key, code=alias)
        assert outcome(answer) == MALFORMED, alias
    twice = json.dumps({"session_key": key, "code": a_wrong_code(code)})[:-1] + f', "code": "{code}"}}'
    assert send(service, post(f"/{flow}/confirm", twice.encode())).outcome == MALFORMED
    every = {"session_key": key, "code": [f"{number:04d}" for number in range(10_000)]}
    assert walk.post(f"/{flow}/confirm", **every).status_code == 413
    assert walk.confirm(flow, key, a_wrong_code(code)).json()["attempts_left"] == 2
    assert walk.confirm(flow, key, code).is_success


@pytest.mark.parametrize("guess", ["0" * 12, "A" * 26, "234567" + "Z" * 20])
def test_row_15_what_has_the_form_of_a_longer_code_or_a_rescue_code_is_a_guess(guess: str, walk: Walker) -> None:
    _, key, _ = opened(walk, "recover")
    assert [outcome(walk.confirm("recover", key, guess)) for _ in range(4)] == [WRONG_CODE] * 3 + [GONE]
