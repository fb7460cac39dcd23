"""What callers send: hostile bodies are refused without an echo, passwords and addresses mean what people mean."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import httpx
import pytest

from devstack.mailbox import Mailbox
from tests.support.requests.burst import post, send
from tests.support.requests.hostile_bodies import CANARY, Hostile, corpus
from tests.support.service.contract import methods_of
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.people import Person, Walker, somebody
from tests.support.users.staff import staff_of

LARGEST_ANSWER = 2_000
CORPUS = corpus()


@pytest.fixture(scope="module")
def routes(service: Service) -> dict[str, str]:
    """Every route that takes JSON and its method, as the service itself tells."""
    return methods_of(service)


@pytest.fixture(scope="module")
def signed_in(service: Service) -> dict[str, str]:
    """The header of somebody who may call `/me` and `/admin`; without it nothing there would be looked at."""
    with staff_of(service) as staff:
        return staff.admin().bearer


def assert_is_a_small_problem_without_an_echo(status: int, head: str, body: bytes) -> None:
    assert 400 <= status < 500, body
    assert len(body) < LARGEST_ANSWER
    assert CANARY.encode() not in body.lower() + head.lower().encode()
    assert "content-type: application/problem+json" in head.lower()
    assert b'"code":"' in body


def test_the_corpus_is_large_and_every_step_is_there(routes: dict[str, str]) -> None:
    assert len({hostile.body + str(hostile.content_type).encode() for hostile in CORPUS}) == len(CORPUS) >= 60
    assert {"/register", "/register/confirm", "/register/login", "/register/resend", "/login", "/login/confirm"} <= {
        *routes
    }
    assert {"/token/refresh", "/logout"} <= {*routes}
    assert {"/me/password", "/me/login", "/me/locale", "/me/email", "/me/email/confirm", "/me/email/resend"} <= {
        *routes
    }
    assert {"/me/delete/confirm", "/me/delete/resend"} <= {*routes}
    assert {f"/admin/{what}" for what in ("users", "roles", "roles/{role}", "permissions")} <= {*routes}
    assert {"/login/resend", "/recover", "/recover/confirm", "/recover/password", "/recover/resend"} <= {*routes}


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name.replace(" ", "-"))
def test_a_hostile_body_is_refused_by_every_route_without_an_echo(
    hostile: Hostile, client: httpx.Client, routes: dict[str, str], signed_in: dict[str, str]
) -> None:
    headers = {} if hostile.content_type is None else {"Content-Type": hostile.content_type}
    for path, method in routes.items():
        allowed = signed_in if path.startswith(("/me/", "/admin/")) else {}
        answer = client.request(method, path, content=hostile.body, headers=headers | allowed)
        assert answer.status_code != 401 or not allowed, path
        head = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        assert_is_a_small_problem_without_an_echo(answer.status_code, head, answer.content)
        if hostile.name.startswith("declared as"):
            assert outcome(answer) == (415, "unsupported_media_type"), path


def test_ten_megabytes_are_refused_with_and_without_a_length(service: Service, routes: dict[str, str]) -> None:
    field = b'{"password": "' + CANARY.encode() * (10_000_000 // len(CANARY)) + b'"}'
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in _parts(field, 50_000)) + b"0\r\n\r\n"
    for path, method in routes.items():
        for request in (post(path, field), post(path, chunks, "Transfer-Encoding: chunked")):
            answer = send(service, request.replace(b"POST", method.encode(), 1))
            assert answer.outcome == (413, "body_too_large"), path
            assert_is_a_small_problem_without_an_echo(answer.status, answer.head, answer.body)


def _parts(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("length", ["-1", "+5", "0x10", "5, 6", "1e3", "٣"])
def test_a_length_that_is_no_number_is_refused(length: str, service: Service) -> None:
    request = post("/recover", b'{"email": "a@example.com"}').replace(b"Content-Length: 26", b"Content-Length: %b")
    answer = send(service, request.replace(b"%b", length.encode()))
    assert answer.status == 400


@pytest.mark.parametrize(
    "extra", [{"role": "admin"}, {"roles": ["admin"]}, {"is_admin": True}, {"id": 1}, {"version": 9}]
)
def test_nobody_registers_with_more_than_a_name(extra: dict[str, object], walk: Walker, bob: Person) -> None:
    answer = walk.post("/register", email=bob.email, login=bob.login, password=bob.password, **extra)
    assert outcome(answer) == MALFORMED
    assert [problem["field"] for problem in answer.json()["errors"]] == ["(unknown field)"]


def can_log_in(walk: Walker, person: Person, password: str) -> bool:
    return walk.post("/login", login=person.login, password=password).status_code == 202


def test_a_password_is_kept_to_its_last_character(walk: Walker) -> None:
    person = somebody().with_password("p" * 60 + " 0123456789 " + "q" * 55 + "x")
    assert len(person.password) == 128
    walk.register(person)
    assert not can_log_in(walk, person, person.password[:-1] + "y")
    assert not can_log_in(walk, person, person.password[:-1])
    assert can_log_in(walk, person, person.password)
    refused = walk.post("/register", email=person.email, login=person.login, password=person.password + "x")
    assert outcome(refused) == MALFORMED


def test_the_longest_password_of_the_widest_letters_is_taken_whole(walk: Walker) -> None:
    person = somebody().with_password("\U0001f600" * 127 + "\U0001f601")
    walk.register(person)
    assert not can_log_in(walk, person, "\U0001f600" * 128)
    assert can_log_in(walk, person, person.password)


def test_two_keyboards_type_one_password(walk: Walker) -> None:
    composed = unicodedata.normalize("NFC", "Ångström für Zoë")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    for typed_first, typed_later in ((composed, decomposed), (decomposed, composed)):
        walk.register(person := somebody().with_password(typed_first))
        assert can_log_in(walk, person, typed_later)
        assert not can_log_in(walk, person, "Angstrom fur Zoe")


def test_spaces_and_case_of_a_password_count(walk: Walker) -> None:
    walk.register(person := somebody().with_password("  Two before, one after "))
    for other in (person.password.strip(), person.password.lower(), person.password.replace("  ", " ")):
        assert not can_log_in(walk, person, other)
    assert can_log_in(walk, person, person.password)


@pytest.mark.parametrize(
    "password", ["1234567", "\u0301" * 7, "ﷺ" * 8, "x" * 513, "🏴" * 129, "password1", "PASSWORD1"]
)
def test_a_password_too_short_too_long_or_too_common_is_refused(password: str, walk: Walker, bob: Person) -> None:
    answer = walk.post("/register", email=bob.email, login=bob.login, password=password)
    assert answer.status_code == 422
    assert answer.json()["code"] == ("weak_password" if password.lower() == "password1" else "invalid_request")


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("MiXed.Case@Example.COM", "mixed.case@example.com"),
        ("plus+tag@example.com", "plus+tag@example.com"),
        ("wide@bücher.example.com", "wide@xn--bcher-kva.example.com"),
        ("wide2@BÜCHER.example.com", "wide2@xn--bcher-kva.example.com"),
        ("o'hara@example.com", "o'hara@example.com"),
    ],
)
def test_an_address_has_one_form_and_mail_goes_there(typed: str, stored: str, walk: Walker) -> None:
    person = Person(typed, somebody().login, "a passphrase for all")
    start = walk.post("/register", email=typed, login=person.login, password=person.password)
    code = walk.mailbox.wait_for(stored).code or ""
    assert walk.confirm("register", start.json()["session_key"], code).json()["email"] == stored
    assert walk.post("/login", login=typed.swapcase(), password=person.password).status_code == 202


HOSTILE_ADDRESSES = [
    *("victim\uff20example.org", "a@example.com,b@example.org", "a@example.com;b@example.org", "a@b@example.com"),
    *("Name <a@example.com>", "<a@example.com>", "a@example.com\r\nBcc: b@example.org", "a@example.com%0d%0aBcc:b"),
    *("a@example.com\u2028b@example.org", "a@example.com> AUTH=<b@example.org", '"a b"@example.com', "a@[127.0.0.1]"),
    *("ädmin@example.com", "\u0430dmin@example.com", "a@exam ple.com", " a@example.com", "a@example.com ", "a@.com"),
    *("a@example..com", "a@-example.com", ".a@example.com", "a.@example.com", "a..b@example.com", "a@localhost", "a@"),
    *(
        "@example.com",
        "a",
        "a" * 65 + "@example.com",
        "a@" + "b" * 250 + ".com",
        "a@example.com(comment)",
        "a@ex\0.com",
    ),
]


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES, ids=ascii)
def test_what_is_not_one_plain_address_is_refused_and_nobody_gets_mail(
    address: str, walk: Walker, mailbox: Mailbox, db: DatabaseInspector
) -> None:
    db.wait_until_all_mail_has_left()
    already = len(mailbox.mails())
    for path, body in (("/recover", {}), ("/register", {"login": somebody().login, "password": "a fine passphrase"})):
        assert outcome(walk.post(path, email=address, **body)) == MALFORMED, path
    if "@" in address:
        assert walk.post("/login", login=address, password="a fine passphrase").status_code in (401, 422)
    for twice in ([address, "b@example.org"], ["a@example.com", "b@example.org"]):
        assert outcome(walk.post("/recover", email=twice)) == MALFORMED
    db.wait_until_all_mail_has_left()
    assert len(mailbox.mails()) == already


@pytest.mark.parametrize(
    "login", ["ab", "a" * 33, "a b", "ab\r\nBcc: x", "a@b", "ünï", "abc\n", "a\u2028b", "%0d%0a", "abc\0"]
)
def test_a_login_of_any_other_letters_is_refused(login: str, walk: Walker, bob: Person) -> None:
    assert outcome(walk.post("/register", email=bob.email, login=login, password=bob.password)) == MALFORMED
