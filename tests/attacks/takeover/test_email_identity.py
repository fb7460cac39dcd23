"""threats.md, section 1 D, "E-mail and identity", rows 35 to 40: one mailbox is one account, and nobody else's."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.requests.burst import Answer, Call, burst, outcomes, post, send
from tests.support.servers.smtp_server import PASSWORD as PASSWORD_AT_SMTP
from tests.support.servers.smtp_server import Certificates, Server
from tests.support.servers.smtp_tap import SmtpTap
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import GONE, MALFORMED, WRONG_CODE, outcome
from tests.support.users.people import Inbox, Person, Walker, a_wrong_code, new_person
from tests.support.users.waiting_flows import skip_the_back_off

PASSWORD = "the same for everybody"
EVIL = "evil.test"


def accounts(db: DatabaseInspector, like: str) -> list[str]:
    """The addresses of all accounts that have this in them, in whatever case."""
    return [row["email"] for row in db.rows("SELECT email FROM users WHERE email ILIKE $1", f"%{like}%")]


def mailed(mailbox: Inbox, like: str) -> set[str]:
    """Everybody who was mailed and has this in the address, folded as a careless server might."""
    folded = {mail.to: unicodedata.normalize("NFKC", mail.to).casefold() for mail in mailbox.mails()}
    return {to for to, plain in folded.items() if like in plain}


def registration(email: object, login: object) -> dict[str, Any]:
    return {"email": email, "login": login, "password": PASSWORD}


# Row 35: twins.

TWINS = {
    "capitals": "{LOCAL}@MÜNCHEN-{number}.DE",
    "a capital in the local part": "{Local}@münchen-{number}.de",
    "a full-width domain": "{local}@ｍünchen-{number}.de",
    "a decomposed umlaut": "{local}@mu\u0308nchen-{number}.de",
    "an A-label": "{local}@{alabel}",
    "an A-label in capitals": "{local}@{ALABEL}",
    "an ideographic full stop": "{local}@münchen-{number}。de",
}
STRANGERS = {
    "a full-width letter": "ｋ{rest}@münchen-{number}.de",
    "a Kelvin sign": "\u212a{rest}@münchen-{number}.de",
    "a dotless i": "k\u0131{tail}@münchen-{number}.de",
    "a combining dot": "k\u0131\u0307{tail}@münchen-{number}.de",
    "a soft hyphen": "{local}\u00ad@münchen-{number}.de",
    "a zero-width joiner": "{local}\u200d@münchen-{number}.de",
    "a space before": " {local}@münchen-{number}.de",
    "a sharp s": "{local}ß@münchen-{number}.de",
}


@pytest.fixture(scope="module")
def kit(service: Service, mailbox_of_all: Mailbox) -> Person:
    """Has an account at a domain that can be spelled in many ways."""
    one = new_person("kit")
    number = one.login.partition("-")[2]
    person = replace(one, email=f"kit@münchen-{number}.de")
    stored = replace(person, email=f"kit@{alabel(number)}")
    with service.walker() as walk:
        key, code = walk.open("/register", stored.email, **registration(person.email, person.login))
        assert walk.confirm("register", key, code).json()["email"] == stored.email
    return stored


@pytest.fixture(scope="module")
def mailbox_of_all(service: Service) -> Mailbox:
    return service.stack.mailbox


def alabel(number: str) -> str:
    return f"münchen-{number}.de".encode("idna").decode()


def spelled(pattern: str, person: Person) -> str:
    """The person's address in another spelling."""
    number, local = person.login.partition("-")[2], "kit"
    label = alabel(number)
    return pattern.format(
        local=local, LOCAL=local.upper(), Local=local.capitalize(), rest=local[1:], tail=local[2:],
        number=number, alabel=label, ALABEL=label.upper(),
    )  # fmt: skip


@pytest.mark.parametrize("spelling", TWINS)
def test_row_35_another_spelling_is_the_same_account_and_its_mail_goes_to_the_stored_one(
    spelling: str, kit: Person, walk: Walker, db: DatabaseInspector
) -> None:
    twin, domain = spelled(TWINS[spelling], kit), kit.email.partition("@")[2]
    already, row = len(walk.mailbox.mails(kit.email)), db.rows("SELECT * FROM users WHERE email = $1", kit.email)
    assert outcome(walk.post("/register", **registration(twin, new_person("twin").login))) == (202, "")
    assert outcome(walk.post("/recover", email=twin)) == (202, "")
    db.wait_until_all_mail_has_left()
    # The owner was told that there is an account, and had a code for the recovery: at the stored address alone.
    mails = walk.mailbox.mails(kit.email)[already:]
    [notice] = [mail for mail in mails if mail.code is None]
    assert len(mails) == 2
    assert kit.login in notice.text
    assert db.rows("SELECT * FROM users WHERE email = $1", kit.email) == row
    key, _ = walk.open("/login", kit.email, login=twin, password=PASSWORD)
    assert key
    assert mailed(walk.mailbox, domain) | mailed(walk.mailbox, "münchen") == {kit.email}
    assert accounts(db, domain) == [kit.email]


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
def test_row_35_an_address_has_one_form_and_mail_goes_there(
    typed: str, stored: str, walk: Walker, db: DatabaseInspector
) -> None:
    key, code = walk.open("/register", stored, **registration(typed, new_person().login))
    assert walk.confirm("register", key, code).json()["email"] == stored
    assert walk.post("/login", login=typed.swapcase(), password=PASSWORD).status_code == 202
    db.wait_until_all_mail_has_left()


@pytest.mark.parametrize("spelling", STRANGERS)
def test_row_35_a_letter_that_only_looks_or_folds_alike_is_refused(
    spelling: str, kit: Person, walk: Walker, db: DatabaseInspector
) -> None:
    twin = spelled(STRANGERS[spelling], kit)
    before = len(walk.mailbox.mails())
    assert outcome(walk.post("/register", **registration(twin, new_person("twin").login))) == MALFORMED
    assert outcome(walk.post("/recover", email=twin)) == MALFORMED
    assert outcome(walk.post("/login", login=twin, password=PASSWORD)) == MALFORMED
    db.wait_until_all_mail_has_left()
    assert walk.mailbox.mails()[before:] == []
    assert accounts(db, kit.email.partition("@")[2]) == [kit.email]


def test_row_35_two_spellings_registered_at_once_become_one_account(walk: Walker, db: DatabaseInspector) -> None:
    person = new_person("sidebyside")
    spellings = [person.email, person.email.upper(), person.email.replace("example", "ｅｘａｍｐｌｅ")]
    flows = [
        walk.open("/register", person.email, **registration(email, f"{person.login}.{number}"))
        for number, email in enumerate(spellings)
    ]
    answers = [outcome(walk.confirm("register", key, code)) for key, code in flows]
    assert answers == [(201, ""), GONE, GONE]
    assert accounts(db, person.login) == [person.email]
    assert mailed(walk.mailbox, person.login) == {person.email}


# Row 36: one address.

SEVERAL: list[object] = [
    "u＠{evil}",
    "{us},{them}",
    "{us}, {them}",
    "{us};{them}",
    "{us} {them}",
    "{us}\t{them}",
    ["{us}", "{them}"],
    ["{them}"],
    {"0": "{us}", "1": "{them}"},
    "N <{them}>",
    "<{them}>",
    '"{us}" <{them}>',
    "{us}@{evil}",
    "u@{evil}@example.com",
    "u%{evil}@example.com@{evil}",
    '"u@{evil},"@example.com',
    "({them}){us}",
    "{us}({them})",
    "@{evil}:{us}",
    "{us}> AUTH=<{them}",
    "mailto:{us}?bcc={them}",
    "{us}\\,{them}",
    ["{them}", "{us}"],
]
NO_ADDRESS = [
    *("victim\uff20example.org", "a@b@example.com", '"a b"@example.com', "a@[127.0.0.1]", "a@example.com(comment)"),
    *("ädmin@example.com", "\u0430dmin@example.com", "a@exam ple.com", " a@example.com", "a@example.com ", "a@.com"),
    *("a@example..com", "a@-example.com", ".a@example.com", "a.@example.com", "a..b@example.com", "a@localhost", "a@"),
    *("@example.com", "a", "a" * 65 + "@example.com", "a@" + "b" * 250 + ".com", "a@ex\0.com"),
]


def filled(value: object, us: str) -> object:
    """The value with the two addresses in it."""
    if isinstance(value, str):
        return value.replace("{us}", us).replace("{them}", f"them@{EVIL}").replace("{evil}", EVIL)
    if isinstance(value, list):
        return [filled(one, us) for one in value]
    assert isinstance(value, dict)
    return {name: filled(one, us) for name, one in value.items()}


def test_row_36_whatever_is_not_one_address_is_refused_and_nobody_is_mailed(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    before = len(walk.mailbox.mails())
    for value in SEVERAL:
        address = filled(value, alice.email)
        assert outcome(walk.post("/register", **registration(address, new_person("two").login))) == MALFORMED, address
        assert outcome(walk.post("/recover", email=address)) == MALFORMED, address
        assert outcome(walk.post("/login", login=address, password=alice.password)) == MALFORMED, address
    for address in NO_ADDRESS:
        assert outcome(walk.post("/register", **registration(address, new_person("two").login))) == MALFORMED, address
        assert outcome(walk.post("/recover", email=address)) == MALFORMED, address
        if "@" in address:
            assert walk.post("/login", login=address, password=alice.password).status_code in (401, 422), address
    db.wait_until_all_mail_has_left()
    assert walk.mailbox.mails()[before:] == []


@pytest.mark.parametrize("second", ["email", "\\u0065mail", "emai\\u006c"])
def test_row_36_an_address_named_twice_is_refused(
    second: str, service: Service, walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    before = len(walk.mailbox.mails())
    for one, other in ((alice.email, f"them@{EVIL}"), (f"them@{EVIL}", alice.email)):
        twice = f'{{"email": "{one}", "{second}": "{other}"}}'
        assert send(service, post("/recover", twice.encode())).outcome == MALFORMED
        more = f'{twice[:-1]}, "login": "{new_person().login}", "password": "{PASSWORD}"}}'
        assert send(service, post("/register", more.encode())).outcome == MALFORMED
    db.wait_until_all_mail_has_left()
    assert walk.mailbox.mails()[before:] == []


# Row 37: the wire.

INJECTED = [
    "{us}\r\nBcc: them@evil.test",
    "{us}\nBcc: them@evil.test",
    "{us}\rBcc: them@evil.test",
    "{us}\r\nRCPT TO:<them@evil.test>",
    "{us}%0d%0aBcc: them@evil.test",
    "{us}%0d%0a",
    "{us}\u2028Bcc: them@evil.test",
    "{us}\u2029",
    "{us}\u0085",
    "{us}\x0b",
    "{us}\x00",
    "{us}\r\n.\r\nMAIL FROM:<them@evil.test>",
    "{us}> AUTH=<them@evil.test",
    "{us}> NOTIFY=SUCCESS,FAILURE",
    "\r\n{us}",
    "{us}\r\n",
    "u\r\n@example.com",
    "u@example.com\r\n.example.com",
    "=?utf-8?q?them=40evil.test?= {us}",
]


def test_row_37_line_ends_in_an_address_or_a_login_are_refused(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    before = len(walk.mailbox.mails())
    for pattern in INJECTED:
        address, login = pattern.replace("{us}", alice.email), pattern.replace("{us}", alice.login)
        assert outcome(walk.post("/register", **registration(address, new_person().login))) == MALFORMED, address
        assert outcome(walk.post("/register", **registration(new_person().email, login))) == MALFORMED, login
        assert outcome(walk.post("/recover", email=address)) == MALFORMED, address
        for identifier in (address, login):
            assert outcome(walk.post("/login", login=identifier, password=alice.password)) == MALFORMED, identifier
    db.wait_until_all_mail_has_left()
    assert walk.mailbox.mails()[before:] == []


@pytest.mark.parametrize("login", ["ab", "a" * 33, "a b", "a@b", "ünï", "%0d%0a"])
def test_row_37_a_login_of_any_other_letters_is_refused(login: str, walk: Walker, bob: Person) -> None:
    assert outcome(walk.post("/register", **registration(bob.email, login))) == MALFORMED


def test_row_37_a_mail_goes_over_the_wire_with_one_sender_one_recipient_and_one_to(
    serving: Serving, mailbox: Mailbox
) -> None:
    with (
        SmtpTap(mailbox.port) as tap,
        serving(workers=2, SMTP_URL=f"smtp://127.0.0.1:{tap.port}") as service,
        service.client(headers={"Accept-Language": "en, x;bcc=them@evil.test", "From": "them@evil.test"}) as client,
        inspect_database(service) as db,
    ):
        walk = Walker(client, mailbox)
        # As much punctuation as an address and a login may have.
        person = replace(new_person(), email="o'brien+a=b/c{d}~!#$%&*?^_`|@example.com", login="-.._Bcc.them_..-")
        user = walk.register(person)
        changed = walk.recover(person, "a brand new passphrase")
        assert walk.log_in(changed)
        assert walk.post("/register", **registration(person.email, new_person().login)).status_code == 202
        db.wait_until_all_mail_has_left()
        mails = mailbox.mails(person.email)
        # Two codes to register and recover, the notice of the new password, one code to log in, and the last notice.
        assert (user["email"], len(mails)) == (person.email, 5)
        said = [line for line in tap.commands if not line.upper().startswith(("EHLO", "QUIT", "DATA"))]
        envelopes = [(line.partition(":")[0], line[line.index("<") : line.index(">") + 1]) for line in said]
        assert envelopes == [("MAIL FROM", "<auth@example.com>"), ("RCPT TO", f"<{person.email}>")] * 5
        assert tap.commands.count("DATA") == 5
        for mail in mails:
            head = mail.content.partition(b"\r\n\r\n")[0].decode("ascii").replace("\r\n ", " ").split("\r\n")
            names = [line.partition(":")[0].lower() for line in head]
            assert (names.count("to"), names.count("from"), names.count("subject")) == (1, 1, 1)
            assert not {"cc", "bcc", "sender", "reply-to", "resent-to"} & set(names)
            assert f"To: {person.email}" in head
        assert b"evil.test" not in tap.transcript


def test_row_37_without_starttls_nothing_is_said_and_the_mail_waits_until_there_is(
    serving: Serving, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    server = Server(auth_require_tls=False)
    try:
        with SmtpTap(server.port) as tap:
            url = f"smtp+starttls://us%40er:{quote(PASSWORD_AT_SMTP, safe='')}@127.0.0.1:{tap.port}{certificates.query}"
            with serving(SMTP_URL=url) as service, service.client() as client, inspect_database(service) as db:
                person = new_person("patient")
                answer = client.post("/register", json=registration(person.email, person.login))
                assert answer.status_code == 202
                waits = "SELECT count(*) FROM outbox WHERE failed_at IS NULL AND last_error LIKE '%STARTTLS%'"
                eventually(lambda: db.value(waits) == 1, 15)
                assert (server.letters, server.logins, server.seen["RCPT"]) == ([], [], 0)
                assert {line.split()[0].upper() for line in tap.commands} <= {"EHLO", "QUIT"}
                # The same server, mended: it offers STARTTLS and takes nothing without.
                server.stop()
                server.options |= {"tls_context": certificates.server_context, "require_starttls": True}
                server.options |= {"auth_require_tls": True, "auth_required": True}
                server.start()
                skip_the_back_off(db)
                eventually(lambda: len(server.letters) == 1, 40)
                assert (server.letters[0]["To"], len(server.logins)) == (person.email, 1)
                # What went over the wire in clear is no more than the wish to go on in secret.
                assert "STARTTLS" in tap.commands
                assert not [word for word in (b"AUTH", b"MAIL FROM", b"RCPT TO") if word in tap.transcript]
    finally:
        server.stop()


# Row 38: the host.

ABSOLUTE_FORM = "Host: localhost"
"""Together with a request target that names a host of its own."""

FORGED_HEADERS = [
    f"Host: {EVIL}",
    f"Host: localhost\r\nX-Forwarded-Host: {EVIL}",
    f"Host: localhost\r\nX-Forwarded-Server: {EVIL}\r\nX-Original-Host: {EVIL}\r\nX-Host: {EVIL}",
    f"Host: localhost\r\nForwarded: for=127.0.0.1;host={EVIL};proto=https",
    f"Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: //{EVIL}",
    f"Host: localhost\r\nOrigin: https://{EVIL}\r\nReferer: https://{EVIL}/",
    f"Host: localhost\r\nX-Original-URL: https://{EVIL}/\r\nX-Rewrite-URL: https://{EVIL}/",
    f"Host: localhost:80@{EVIL}",
    f"Host: {EVIL}/x?y#",
    f"Host: localhost\r\nHost: {EVIL}",
    ABSOLUTE_FORM,
]


def forged(path: str, form: dict[str, object], headers: str) -> bytes:
    """A POST of the form as somebody sends it who says that we are somebody else."""
    body = json.dumps(form).encode()
    target = f"http://{EVIL}{path}" if headers == ABSOLUTE_FORM else path
    head = f"POST {target} HTTP/1.1\r\n{headers}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_row_38_no_forged_host_is_found_in_any_mail_answer_or_token(
    service: Service, mailbox: Mailbox, walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    opened = 0
    for headers in FORGED_HEADERS:
        person = new_person("host")
        before = len(mailbox.mails(alice.email))

        def post_forged(path: str, headers: str = headers, **form: object) -> Answer:
            return send(service, forged(path, form, headers))

        answers = [
            post_forged("/register", **registration(person.email, person.login)),
            post_forged("/register", **registration(alice.email, person.login)),
            post_forged("/recover", email=alice.email),
            post_forged("/login", login=alice.login, password=alice.password),
            post_forged("/login/", login=alice.login, password=alice.password),
            post_forged("/nowhere"),
        ]
        assert all("evil" not in answer.head.lower() and b"evil" not in answer.body for answer in answers), headers
        statuses = [answer.status for answer in answers]
        assert statuses in ([202] * 4 + [404] * 2, [400] * 6, [404] * 6, [421] * 6), (headers, statuses)
        db.wait_until_all_mail_has_left()
        if statuses[0] != 202:
            assert len(mailbox.mails(alice.email)) == before
            continue
        opened += 1
        assert len(mailbox.mails(alice.email)) == before + 3
        [code] = walk.codes(person.email)
        confirmed = post_forged("/register/confirm", session_key=answers[0].json["session_key"], code=code)
        assert confirmed.status == 201
        key, code = walk.open_login(person.with_password(PASSWORD))
        tokens = post_forged("/login/confirm", session_key=key, code=code)
        claims = tokens.json["access_token"].split(".")[1]
        assert json.loads(base64.urlsafe_b64decode(claims + "=="))["iss"] == service.url
        for mail in (*mailbox.mails(alice.email)[before:], *mailbox.mails(person.email)):
            for text in (mail.content.decode("ascii"), mail.subject, mail.text, mail.html):
                assert "evil" not in text.lower(), headers
        db.wait_until_all_mail_has_left()
    assert opened > 4


# Row 39: the hijacker who is early.


def test_row_39_who_registers_another_address_first_has_nothing_once_its_owner_confirms(
    service: Service, walk: Walker, mailbox: Mailbox, db: DatabaseInspector
) -> None:
    victim = new_person("victim")
    with service.client() as client:
        attack = Walker(client, mailbox)
        hijack = registration(victim.email, "the.hijacker") | {"password": "known to the attacker"}
        flows = [attack.open("/register", victim.email, **hijack) for _ in range(2)]
        # Until somebody confirms there is no account, neither to log in to nor to recover.
        assert db.value("SELECT count(*) FROM users WHERE email = $1", victim.email) == 0
        assert outcome(attack.post("/login", login=victim.email, password=hijack["password"]))[0] == 401
        key, code = walk.open_registration(victim)
        assert all(outcome(walk.confirm("register", key, other)) == WRONG_CODE for _, other in flows if other != code)
        user = walk.confirm("register", key, code)
        assert (user.status_code, user.json()["login"]) == (201, victim.login)
        # Even with the right code, which only the victim could give away, the early flow is worth nothing; and a
        # guess at it is answered as if nothing had happened.
        (right_key, right_code), (other_key, other_code) = flows
        assert outcome(attack.confirm("register", right_key, right_code)) == GONE
        assert outcome(attack.confirm("register", right_key, right_code)) == GONE
        assert outcome(attack.confirm("register", other_key, a_wrong_code(other_code))) == WRONG_CODE
        assert outcome(attack.post("/register/login", session_key=right_key, login="the.hijacker")) == GONE
        # The late one is not mailed a code either, only the owner is told.
        already = len(mailbox.mails(victim.email))
        late = attack.post("/register", **hijack)
        assert late.status_code == 202
        db.wait_until_all_mail_has_left()
        assert [mail.code for mail in mailbox.mails(victim.email)[already:]] == [None]
        for name in (victim.email, "the.hijacker"):
            assert outcome(attack.post("/login", login=name, password=hijack["password"]))[0] == 401
    assert [row["login"] for row in db.rows("SELECT login FROM users WHERE email = $1", victim.email)] == [victim.login]
    assert walk.log_in(victim)


def test_row_39_who_is_early_with_the_login_alone_keeps_nobody_from_registering(
    service: Service, walk: Walker, mailbox: Mailbox
) -> None:
    victim, attacker = new_person("victim"), new_person("attacker")
    with service.client() as client:
        attack = Walker(client, mailbox)
        key, code = attack.open_registration(replace(attacker, login=victim.login.upper()))
        walk.register(victim)
        assert outcome(attack.confirm("register", key, code)) == (409, "login_taken")
        assert walk.log_in(victim)


# Row 40: one winner.


def opened_by_all(service: Service, people: Sequence[Person]) -> list[Call]:
    """A registration of each person, and the call that would confirm it."""
    calls: list[Call] = []
    with service.walker() as walk:
        for person in people:
            # One after the other: the mails of one address do not say which flow they are for.
            key, code = walk.open_registration(person)
            calls.append(("/register/confirm", {"session_key": key, "code": code}))
    return calls


def test_row_40_fifty_registrations_of_one_address_make_one_account(
    service: Service, db: DatabaseInspector, *, full_counts: bool
) -> None:
    for _ in range(5 if full_counts else 1):
        one = new_person("one")
        calls = opened_by_all(service, [replace(one, login=f"{one.login}.{n}") for n in range(50)])
        db.wait_until_all_mail_has_left()
        answers = burst(service, calls)
        assert outcomes(answers) == {(201, ""): 1, GONE: 49}, service.log()[-2000:]
        assert len({answer.body for answer in answers if answer.status != 201}) == 1
        [row] = db.rows("SELECT id, login FROM users WHERE email = $1", one.email)
        [winner] = [answer.json for answer in answers if answer.status == 201]
        assert (str(row["id"]), row["login"]) == (winner["id"], winner["login"])
        assert outcomes(burst(service, calls)) == {GONE: 50}


def test_row_40_fifty_registrations_of_one_login_make_one_account(
    service: Service, db: DatabaseInspector, *, full_counts: bool
) -> None:
    for _ in range(5 if full_counts else 1):
        login = new_person("only").login
        people = [replace(new_person("same"), login=login.upper() if n % 2 else login) for n in range(50)]
        calls = opened_by_all(service, people)
        db.wait_until_all_mail_has_left()
        answers = burst(service, calls)
        assert outcomes(answers) == {(201, ""): 1, (409, "login_taken"): 49}, service.log()[-2000:]
        assert len({answer.body for answer in answers if answer.status != 201}) == 1
        [row] = db.rows("SELECT email FROM users WHERE login_canonical = $1", login)
        [winner] = [person for person, answer in zip(people, answers, strict=True) if answer.status == 201]
        assert row["email"] == winner.email
        assert db.value("SELECT count(*) FROM users WHERE email = ANY($1)", [p.email for p in people]) == 1
        # The others go on with names of their own, all at once; and none of them gets in twice.
        taken = [call for call, answer in zip(calls, answers, strict=True) if answer.status == 409]
        waiting = [body["session_key"] for _, body in taken]
        choices: list[Call] = [
            ("/register/login", {"session_key": key, "login": f"{login}.{n % 49}"}) for n, key in enumerate(waiting * 2)
        ]
        assert outcomes(burst(service, choices)) == {(201, ""): 49, GONE: 49}
