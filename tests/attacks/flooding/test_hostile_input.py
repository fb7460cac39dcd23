"""threats.md, section 1 F, rows 52 to 55: what callers send, and what it may cost.

Row 56, a storm of log-ins, is in ``test_hashing_saturation.py``, row 59 in ``test_mixed_up_answers.py``, row 60 in
``test_leaked_secrets.py``, and nginx's half (of row 54, and rows 57 and 58) in ``tests/system/``.
"""

from __future__ import annotations

import json
import random
import re
import socket
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from tests.support.requests.burst import post, send
from tests.support.requests.hostile_bodies import CANARY, FIELDS, JSON, Hostile, corpus
from tests.support.service.contract import methods_of
from tests.support.service.costs import Memory, cpu_seconds, processes_of
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import Service, fresh_address
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.people import Person, Walker, new_person
from tests.support.users.staff import staff_of

LARGEST_ANSWER = 1_000
TOO_LARGE = 10_000_000
CORPUS = corpus()

FORMS: dict[str, tuple[str, ...]] = {
    "/register": ("email", "login", "password"),
    "/register/confirm": ("session_key", "code"),
    "/register/login": ("session_key", "login"),
    "/register/resend": ("session_key",),
    "/login": ("login", "password"),
    "/login/confirm": ("session_key", "code"),
    "/login/resend": ("session_key",),
    "/recover": ("email",),
    "/recover/confirm": ("session_key", "code"),
    "/recover/password": ("session_key", "password"),
    "/recover/resend": ("session_key",),
    "/token/refresh": ("refresh_token",),
    "/logout": ("refresh_token",),
    "/me/password": ("current_password", "password"),
    "/me/login": ("password", "login"),
    "/me/locale": ("locale",),
    "/me/email": ("password", "email"),
    "/me/email/confirm": ("session_key", "code"),
    "/me/email/resend": ("session_key",),
    "/me/delete/confirm": ("session_key", "code"),
    "/me/delete/resend": ("session_key",),
    "/admin/users": ("email", "login"),
    "/admin/roles": ("name", "description", "permissions"),
    "/admin/roles/nobodys": (),  # none of its fields has to be there
    "/admin/permissions": ("name", "description"),
    "/admin/permissions/nobodys:read": ("description",),
}
PUT = ("/me/password", "/me/login", "/me/locale")
PATCH = ("/admin/roles/nobodys", "/admin/permissions/nobodys:read")
GUARDED = ("/me/", "/admin/")
GOOD: dict[str, object] = {
    "email": f"{CANARY}@example.com",
    "login": CANARY,
    "password": f"{CANARY} and more",
    "current_password": f"{CANARY} and less",
    "locale": "en",
    "session_key": (CANARY * 6)[:64],
    "code": "0427",
    "refresh_token": (CANARY * 8)[:86],
    "name": f"{CANARY}:read",
    "description": CANARY,
    "permissions": ["account:read"],
}


target = service_fixture(workers=2)
"""A service that nobody else writes into the log of."""


@pytest.fixture(scope="module")
def bearer(target: Service) -> Iterator[str]:
    """What opens `/me` and `/admin`: without it no body is looked at there."""
    with staff_of(target) as staff:
        yield staff.admin().bearer["Authorization"]


@pytest.fixture
def caller(target: Service, bearer: str) -> Iterator[httpx.Client]:
    """Posts what is put, and is signed in where that is asked for."""

    def prepare(request: httpx.Request) -> None:
        if request.url.path.startswith(GUARDED):
            request.headers["Authorization"] = bearer
        if request.method == "POST":
            request.method = method_of(request.url.path)

    with target.client(event_hooks={"request": [prepare]}) as client:
        yield client


def method_of(path: str) -> str:
    return "PUT" if path in PUT else "PATCH" if path in PATCH else "POST"


def good(path: str) -> dict[str, object]:
    """What the form at a path takes."""
    return {field: CANARY if (path, field) == ("/admin/roles", "name") else GOOD[field] for field in FORMS[path]}


def sending(path: str, body: bytes, *headers: str) -> bytes:
    """The bytes of such a request."""
    return post(path, body, *headers).replace(b"POST", method_of(path).encode(), 1)


@pytest.fixture(autouse=True)
def unharmed(target: Service) -> Iterator[None]:
    """Whatever is sent: no unforeseen error, no dead worker, and nothing of it in the log."""
    before = processes_of(target)
    yield
    assert processes_of(target) == before
    assert CANARY not in target.log().lower()
    assert "unforeseen" not in target.log()
    assert target.get("/health/ready").status_code == 200


def test_the_forms_of_these_tests_are_all_there_are(target: Service) -> None:
    named = {re.sub(r"\{\w+\}", "*", path): method for path, method in methods_of(target).items()}
    assert named == {re.sub("nobodys.*", "*", path): method_of(path) for path in FORMS}
    assert {field for form in FORMS.values() for field in form} == set(FIELDS)


def _declared(hostile: Hostile) -> dict[str, str]:
    return {} if hostile.content_type is None else {"Content-Type": hostile.content_type}


@pytest.mark.parametrize("path", FORMS)
def test_row_52_no_route_answers_a_hostile_body_with_anything_but_4xx(path: str, caller: httpx.Client) -> None:
    answers = {body.name: caller.post(path, content=body.body, headers=_declared(body)) for body in CORPUS}
    assert len({body.body + str(body.content_type).encode() for body in CORPUS}) == len(CORPUS) == len(answers) >= 60
    # Refused as the caller's mistake, in a few words of our own.
    assert {name: answer.status_code for name, answer in answers.items() if not 400 <= answer.status_code < 500} == {}
    assert not path.startswith(GUARDED) or all(answer.status_code != 401 for answer in answers.values())
    assert {name for name, answer in answers.items() if CANARY in answer.text.lower() + str(answer.headers)} == set()
    assert {answer.headers["Content-Type"] for answer in answers.values()} == {"application/problem+json"}
    assert all(answer.json()["code"] and len(answer.content) < 2 * LARGEST_ANSWER for answer in answers.values())
    declared = {outcome(answer) for name, answer in answers.items() if name.startswith("declared as")}
    assert declared == {(415, "unsupported_media_type")}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_row_52_hostile_bodies_and_queries_at_other_methods_break_nothing(method: str, caller: httpx.Client) -> None:
    queries = ["?%00", "?email=%ff%fe", f"?password={CANARY}", "?" + "a=b&" * 2_000, "?%u0000", "?__proto__[a]=b"]
    for path in ("/me", "/health/ready", "/.well-known/jwks.json", "/openapi.json", "/login", "/nowhere"):
        for number, query in enumerate(queries):
            body = CORPUS[number * 7 % len(CORPUS)]
            answer = caller.request(method, path + query, content=body.body, headers=_declared(body))
            assert answer.status_code < 500, (path, query, body.name)
            assert CANARY not in answer.text.lower()


_SHREDS = [
    *(b"NaN", b"Infinity", b"-0", b"1e309", b"9" * 400, b"true", b"null", b'"', b"{", b"}", b"[", b"]", b":", b","),
    *(b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"\\", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n"),
    *(b'"code":"0000",', b'"role":"admin",', b"[" * 900, "\u0661\u0662".encode(), "\u202e".encode(), b"@", b" "),
]


def _shredded(body: bytes, chance: random.Random) -> bytes:
    """A body with a few things put in, left out, doubled or overwritten."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.choice((0, 0, 1, 2, 8)))
        piece = chance.choice((b"", chance.choice(_SHREDS), bytes([chance.randrange(256)]), body[start:end] * 2))
        body = body[:start] + piece + body[end:]
    return body


def test_row_52_bodies_broken_at_random_are_never_our_mistake(caller: httpx.Client, *, full_counts: bool) -> None:
    # The seed is told by a failure's body itself; each run is the same one, so that a failure comes again.
    chance = random.Random(52)
    for number in range(20_000 if full_counts else 500):
        path = chance.choice(list(FORMS))
        body = _shredded(json.dumps(good(path)).encode(), chance)
        answer = caller.post(path, content=body, headers={"Content-Type": JSON})
        assert answer.status_code < 500, (number, path, body)
        # Whoever is let in sees what a body that was hardly broken has made.
        assert answer.is_success or CANARY not in answer.text.lower(), (number, path, body)


@pytest.mark.parametrize(("path", "missing"), [(path, field) for path, fields in FORMS.items() for field in fields])
def test_row_53_what_lacks_a_field_is_refused_without_telling_the_others(
    path: str, missing: str, caller: httpx.Client
) -> None:
    rest = {field: value for field, value in good(path).items() if field != missing}
    answer = caller.post(path, json=rest)
    assert outcome(answer) == MALFORMED
    assert [problem["field"] for problem in answer.json()["errors"]] == [missing]
    assert CANARY not in answer.text.lower() + str(answer.headers).lower()


@pytest.mark.parametrize("size", [15_000, TOO_LARGE])
def test_row_53_a_huge_field_has_a_small_answer(size: int, target: Service, bearer: str) -> None:
    for path, fields in FORMS.items():
        signed_in = [f"Authorization: {bearer}"] if path.startswith(GUARDED) else []
        for field in fields:
            body = json.dumps({**good(path), field: CANARY * (size // len(CANARY))})
            answer = send(target, sending(path, body.encode(), *signed_in))
            assert answer.status == (413 if size == TOO_LARGE else 422), (path, field)
            assert len(answer.body) < LARGEST_ANSWER
            assert CANARY not in answer.body.decode().lower()
        if size == TOO_LARGE:
            break  # The length alone decides, whatever the route; row 54 asks each of them.


def _unfinished(path: str, *headers: str, sent: bytes = b"") -> bytes:
    """A request of 10 MB of which only the beginning is sent; who answers it has not waited for the rest."""
    return sending(path, b"", *headers).replace(b"Content-Length: 0", b"Content-Length: %d" % TOO_LARGE) + sent


@pytest.mark.parametrize("path", FORMS)
def test_row_54_ten_megabytes_are_refused_before_they_are_there(path: str, target: Service) -> None:
    address = fresh_address()
    told = send(target, _unfinished(path), address)
    assert told.outcome == (413, "body_too_large")
    # Without a length it is refused as soon as it has grown too large, though its end never comes.
    chunk = b"4000\r\n" + b'{"' + b"x" * 0x3FFE + b"\r\n" + b"8\r\nxxxxxxxx\r\n"
    grown = send(target, _unfinished(path, "Transfer-Encoding: chunked", sent=chunk), address)
    assert grown.outcome == (413, "body_too_large")
    assert len(told.body) < LARGEST_ANSWER > len(grown.body)


@pytest.mark.parametrize("length", ["-1", "+5", "0x10", "5, 6", "1e3", "٣"])
def test_row_54_a_length_that_is_no_number_is_refused(length: str, target: Service) -> None:
    request = post("/recover", b'{"email": "a@example.com"}').replace(b"Content-Length: 26", b"Content-Length: %b")
    assert send(target, request.replace(b"%b", length.encode())).status == 400


def _push(service: Service, path: str, *, chunked: bool) -> bytes:
    """Send 10 MB whatever the service says meanwhile, as who wants to fill its memory does."""
    part = b"x" * 50_000
    head = post(path, b"", "Transfer-Encoding: chunked") if chunked else _unfinished(path)
    received = b""
    source = (fresh_address(), 0)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20, source_address=source) as connection:
        with suppress(ConnectionError):
            connection.sendall(head.replace(b"Connection: close\r\n", b""))
            for _ in range(TOO_LARGE // len(part)):
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        connection.settimeout(5)
        with suppress(ConnectionError, TimeoutError):
            while b"\r\n\r\n" not in received and (chunk := connection.recv(65_536)):
                received += chunk
    return received


def test_row_54_twenty_times_ten_megabytes_at_once_fill_no_memory(target: Service) -> None:
    memory = Memory(target)
    with ThreadPoolExecutor(20) as pushing:
        calls = [pushing.submit(_push, target, "/register", chunked=bool(number % 2)) for number in range(20)]
        received = [call.result() for call in calls]
    # The answer to somebody who goes on pushing may be lost with his connection; nobody is answered otherwise.
    assert {answer.split(b" ", 2)[1] for answer in received if answer} == {b"413"}
    assert memory.grown_by() < 30


@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, "[" * 16_000, "[" * 8_000 + "]" * 8_000, '{"a":' * 3_000, '{"email":' * 900 + "1" + "}" * 900],
    ids=["beyond the limit", "open", "closed", "objects", "named objects"],
)
def test_row_54_deep_json_is_refused_and_no_worker_falls_into_it(body: str, target: Service, bearer: str) -> None:
    signed_in = f"Authorization: {bearer}"
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(lambda path: send(target, sending(path, body.encode(), signed_in)), [*FORMS] * 2))
    assert all(answer.status in ((413,) if len(body) > 16_384 else (400, 422)) for answer in answers)
    assert max(len(answer.body) for answer in answers) < LARGEST_ANSWER


A128 = "p" * 60 + " 0123456789 " + "q" * 55 + "x"
COMPOSED = unicodedata.normalize("NFC", "Ångström für Zoë")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@pytest.mark.parametrize(
    ("stored", "typed", "same"),
    [
        (A128, A128, True),
        ("[{" * 30 + "}]" * 30, "[{" * 30 + "}]" * 30, True),
        (A128, A128[:-1] + "y", False),
        (A128, A128[:-1], False),
        (A128, A128 + "x", False),
        ("x" * 71 + "72a" + "y" * 50, "x" * 71 + "72b" + "y" * 50, False),  # where bcrypt would cut it off
        ("\U0001f600" * 127 + "\U0001f601", "\U0001f600" * 128, False),
        (COMPOSED, DECOMPOSED, True),
        (DECOMPOSED, COMPOSED, True),
        (COMPOSED, "Angstrom fur Zoe", False),
        (" kept at both ends ", " kept at both ends ", True),
        (" kept at both ends ", "kept at both ends", False),
        (" kept at both ends ", " kept at both ends", False),
        ("two  spaces inside", "two spaces inside", False),
        ("Its Case Is Kept", "its case is kept", False),
        ("caf\u00e9 \ufb01ve", "cafe\u0301 five", True),  # NFKC: a ligature is its letters
    ],
    ids=ascii,
)
def test_row_55_a_password_is_all_of_its_letters_and_nothing_else(
    stored: str, typed: str, target: Service, caller: httpx.Client, *, same: bool
) -> None:
    person = new_person("row-55").with_password(stored)
    walk = Walker(caller, target.stack.mailbox)
    walk.register(person)
    answer = walk.post("/login", login=person.login, password=typed)
    assert answer.status_code == (202 if same else 401), answer.text


@pytest.mark.parametrize("password", ["password1", "PASSWORD1"])
def test_row_55_a_common_password_is_refused_in_either_case(password: str, caller: httpx.Client) -> None:
    person = new_person("common")
    answer = caller.post("/register", json={"email": person.email, "login": person.login, "password": password})
    assert outcome(answer) == (422, "weak_password")


costly = service_fixture(HASH_ITERATIONS="3000000")
"""A service whose hashes cost a second each, so that not one of them can go unseen."""


def test_row_55_what_is_too_long_or_too_short_is_refused_before_anything_is_hashed(costly: Service) -> None:
    def cost_of(*calls: tuple[str, dict[str, object]]) -> tuple[float, set[int]]:
        before = cpu_seconds(costly)
        with costly.client() as client:
            statuses = {client.post(path, json=body).status_code for path, body in calls}
        return cpu_seconds(costly) - before, statuses

    def bodies(password: str) -> list[tuple[str, dict[str, object]]]:
        person: Person = new_person("long")
        return [
            ("/register", {"email": person.email, "login": person.login, "password": password}),
            ("/recover/password", {"session_key": "A" * 64, "password": password}),
        ]

    one_hash, statuses = cost_of(("/login", {"login": "nobody-at-all", "password": "a fine passphrase"}))
    assert statuses == {401}
    outside = ["x" * 129, "x" * 512, "x" * 16_000, "1234567", "\ufdfa" * 8, "\U0001f3f4" * 129, "a\0" * 8]
    refused = [body for password in outside for body in bodies(password)]
    refused += [("/login", {"login": "nobody-at-all", "password": "x" * length}) for length in (513, 5_000, 16_000)]
    spent, statuses = cost_of(*refused)
    assert statuses == {422}
    assert spent < one_hash, f"{spent:.2f} s for {len(refused)} refusals, {one_hash:.2f} s for a hash"
