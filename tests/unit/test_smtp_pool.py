"""Hands real mails to real SMTP servers, willing, broken and hostile ones."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest

from backend.mail import smtp as smtp_module
from backend.mail import smtp_pool as smtp_pool_module
from backend.mail.smtp import MailDelayed, MailRefused
from backend.mail.smtp_pool import SmtpPool
from devstack.ports import free_port
from template_message.render import MailTemplates, Rendered
from tests.support.servers.smtp_server import PASSWORD, Certificates, Server

BOB = "bob@example.com"
SENDER = "Example <no-reply@example.org>"
MAIL = MailTemplates("Example").render("login_code", "en", code="0427", minutes=10, rescue="")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**options: Any) -> Server:
        servers.append(Server(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def tls(certificates: Certificates) -> dict[str, Any]:
    return {"tls_context": certificates.server_context, "require_starttls": True}


@pytest.fixture
async def open_pool() -> AsyncIterator[Callable[..., SmtpPool]]:
    pools: list[SmtpPool] = []

    def start(*urls: str, **options: Any) -> SmtpPool:
        pools.append(SmtpPool(urls, SENDER, **{"connect_timeout": 1, "command_timeout": 3} | options))
        return pools[-1]

    yield start
    for smtp_pool in pools:
        await smtp_pool.close()


Serve = Callable[..., Server]
OpenPool = Callable[..., SmtpPool]


@pytest.mark.parametrize(
    ("locale", "subject"), [("en", "Confirm your login to Example"), ("ru", "Подтвердите вход в «Example»")]
)
async def test_a_mail_arrives_whole(serve: Serve, open_pool: OpenPool, locale: str, subject: str) -> None:
    server, mail = serve(), MailTemplates("Example").render("login_code", locale, code="0427", minutes=10, rescue="")
    await open_pool(server.url()).send(BOB, mail)
    [letter], [envelope] = server.letters, server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@example.org", [BOB])
    assert (letter["From"], letter.get_all("To"), letter["Subject"]) == (SENDER, [BOB], subject)
    assert letter["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<[^@<>]+@example\.org>", letter["Message-ID"])
    assert abs(parsedate_to_datetime(letter["Date"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert letter.get_content_type() == "multipart/alternative"
    text, html = letter.iter_parts()
    assert [part.get_content_type() for part in (text, html)] == ["text/plain", "text/html"]
    assert text.get_content().splitlines() == mail.text.splitlines()
    assert html.get_content().splitlines() == mail.html.splitlines()
    assert "0427" in text.get_content().splitlines()


async def test_twenty_mails_share_one_session(serve: Serve, open_pool: OpenPool) -> None:
    server = serve()
    smtp_pool = open_pool(server.url())
    for _ in range(20):
        await smtp_pool.send(BOB, MAIL)
    assert (len(server.letters), server.seen["EHLO"]) == (20, 1)
    assert len({letter["Message-ID"] for letter in server.letters}) == 20


async def test_fifty_senders_share_four_sessions(serve: Serve, open_pool: OpenPool) -> None:
    server = serve()
    server.patience = 0.02
    smtp_pool = open_pool(server.url(), connections=4)
    await asyncio.gather(*(smtp_pool.send(f"user{number}@example.com", MAIL) for number in range(50)))
    assert sorted(letter["To"] for letter in server.letters) == sorted(
        f"user{number}@example.com" for number in range(50)
    )
    assert (server.most_living, server.seen["EHLO"]) == (4, 4)


async def test_a_restart_of_the_server_between_two_mails_goes_unnoticed(serve: Serve, open_pool: OpenPool) -> None:
    server = serve()
    smtp_pool = open_pool(server.url())
    await smtp_pool.send(BOB, MAIL)
    server.stop()
    server.start()
    await smtp_pool.send(BOB, MAIL)
    assert (len(server.letters), server.seen["EHLO"]) == (2, 2)


async def test_a_session_the_server_closed_idle_is_replaced(serve: Serve, open_pool: OpenPool) -> None:
    server = serve(timeout=0.3)
    smtp_pool = open_pool(server.url())
    await smtp_pool.send(BOB, MAIL)
    await server.is_left()
    await smtp_pool.send(BOB, MAIL)
    assert len(server.letters) == 2


@pytest.mark.parametrize("farewell", ["hang up", "421 4.4.2 timeout exceeded"])
async def test_a_kept_session_that_dies_before_the_message_is_replaced_once(
    serve: Serve, open_pool: OpenPool, farewell: str
) -> None:
    server = serve(answers={"RCPT": ["250 OK", farewell]})
    smtp_pool = open_pool(server.url())
    await smtp_pool.send(BOB, MAIL)
    await smtp_pool.send(BOB, MAIL)
    assert (len(server.letters), server.seen["EHLO"], server.seen["RCPT"]) == (2, 2, 3)


async def test_a_session_that_dies_after_the_message_is_not_tried_again(serve: Serve, open_pool: OpenPool) -> None:
    server, spare = serve(answers={"DATA": ["250 OK", "hang up"]}), serve()
    smtp_pool = open_pool(server.url(), spare.url())
    await smtp_pool.send(BOB, MAIL)
    with pytest.raises(MailDelayed):
        await smtp_pool.send(BOB, MAIL)
    assert (server.seen["DATA"], len(server.letters), spare.letters) == (2, 1, [])


async def test_idle_sessions_are_closed_before_the_server_does(
    serve: Serve, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "IDLE_SECONDS", 0.1)
    server = serve()
    await open_pool(server.url()).send(BOB, MAIL)
    assert server.living == 1
    await server.is_left()


async def test_close_leaves_no_session_behind(serve: Serve, open_pool: OpenPool) -> None:
    server = serve()
    server.patience = 0.1
    smtp_pool = open_pool(server.url())
    await smtp_pool.send(BOB, MAIL)
    sending = [asyncio.create_task(smtp_pool.send(BOB, MAIL)) for _ in range(2)]
    await asyncio.sleep(0.05)
    await smtp_pool.close()
    await asyncio.gather(*sending)
    await server.is_left()
    assert len(server.letters) == 3


async def test_a_cancelled_send_neither_leaks_its_place_nor_spoils_its_session(
    serve: Serve, open_pool: OpenPool
) -> None:
    server = serve()
    server.patience = 0.2
    smtp_pool = open_pool(server.url(), connections=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(smtp_pool.send(BOB, MAIL), 0.1)
    server.patience = 0
    await smtp_pool.send(BOB, MAIL)
    assert server.seen["EHLO"] == 2


async def test_a_temporary_refusal_passes(serve: Serve, open_pool: OpenPool) -> None:
    server = serve(answers={"RCPT": [f"450 4.2.0 <{BOB}> greylisted"]})
    smtp_pool = open_pool(server.url())
    with pytest.raises(MailDelayed) as delayed:
        await smtp_pool.send(BOB, MAIL)
    assert str(delayed.value) == f"127.0.0.1:{server.port}: 450 4.2.0"
    await smtp_pool.send(BOB, MAIL)
    assert len(server.letters) == 1


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_final_refusal_is_told_by_its_codes_alone(serve: Serve, open_pool: OpenPool, command: str) -> None:
    server = serve(answers={command: [f"550 5.1.1 <{BOB}> unknown, code 0427"]})
    with pytest.raises(MailRefused) as refused:
        await open_pool(server.url()).send(BOB, MAIL)
    assert str(refused.value) == f"127.0.0.1:{server.port}: 550 5.1.1"
    assert refused.value.__cause__ is refused.value.__context__ is None


async def test_nobody_listening_is_told_quickly(open_pool: OpenPool) -> None:
    port, started = free_port(), monotonic()
    with pytest.raises(MailDelayed, match=f"127.0.0.1:{port}"):
        await open_pool(f"smtp://127.0.0.1:{port}").send(BOB, MAIL)
    assert monotonic() - started < 0.9


async def test_a_server_that_never_greets_costs_its_timeout_once(serve: Serve, open_pool: OpenPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = serve()
        smtp_pool = open_pool(f"smtp://127.0.0.1:{silent.getsockname()[1]}", server.url(), connect_timeout=0.3)
        started = monotonic()
        for _ in range(5):
            await smtp_pool.send(BOB, MAIL)
    assert 0.3 <= monotonic() - started < 1.2
    assert len(server.letters) == 5


async def test_the_first_server_is_preferred_again_when_it_is_back(
    serve: Serve, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_pool_module, "DOWN_SECONDS", 0.1)
    first, second = serve(), serve()
    smtp_pool = open_pool(first.url(), second.url())
    first.stop()
    await smtp_pool.send(BOB, MAIL)
    first.start()
    await asyncio.sleep(0.15)
    await smtp_pool.send(BOB, MAIL)
    assert (len(first.letters), len(second.letters)) == (1, 1)


async def test_servers_remembered_as_down_are_tried_when_no_other_is_left(serve: Serve, open_pool: OpenPool) -> None:
    server = serve()
    smtp_pool = open_pool(server.url())
    server.stop()
    with pytest.raises(MailDelayed):
        await smtp_pool.send(BOB, MAIL)
    server.start()
    await smtp_pool.send(BOB, MAIL)
    assert len(server.letters) == 1


async def test_starttls_with_a_private_ca_and_a_login(
    serve: Serve, open_pool: OpenPool, tls: dict[str, Any], certificates: Certificates
) -> None:
    server = serve(**tls, auth_required=True)
    login = f"us%40er:{quote(PASSWORD, safe='')}@"
    await open_pool(server.url("smtp+starttls", login, certificates.query)).send(BOB, MAIL)
    await open_pool(server.url("smtp", login, certificates.query)).send(BOB, MAIL)
    assert (len(server.letters), len(server.logins)) == (2, 2)


async def test_implicit_tls(serve: Serve, open_pool: OpenPool, certificates: Certificates) -> None:
    server = serve(ssl_context=certificates.server_context)
    await open_pool(server.url("smtps", query=certificates.query)).send(BOB, MAIL)
    assert len(server.letters) == 1


async def test_starttls_required_but_not_offered_means_no_mail(serve: Serve, open_pool: OpenPool) -> None:
    server = serve(auth_require_tls=False)
    with pytest.raises(MailDelayed, match="STARTTLS"):
        await open_pool(server.url("smtp+starttls", "user:secret@")).send(BOB, MAIL)
    assert (server.letters, server.logins) == ([], [])


@pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls", "smtps"])
async def test_an_untrusted_certificate_means_no_mail(
    serve: Serve, open_pool: OpenPool, tls: dict[str, Any], certificates: Certificates, scheme: str
) -> None:
    server = serve(**{"ssl_context": certificates.server_context} if scheme == "smtps" else tls)
    with pytest.raises(MailDelayed, match="CERTIFICATE_VERIFY_FAILED"):
        await open_pool(server.url(scheme, "user:secret@")).send(BOB, MAIL)
    assert (server.letters, server.logins) == ([], [])


async def test_plain_smtp_to_a_public_address_means_no_mail(
    serve: Serve, open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no public address in a test: the house's own network is taken from the list instead.
    monkeypatch.setattr(smtp_module, "PRIVATE_NETWORKS", ())
    server = serve(auth_require_tls=False)
    with pytest.raises(MailDelayed, match="neither loopback nor private"):
        await open_pool(server.url(login="user:secret@")).send(BOB, MAIL)
    assert (server.letters, server.logins) == ([], [])


def test_private_means_loopback_rfc_1918_rfc_4193_and_link_local() -> None:
    private = ["127.9.9.9", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.1.1"]
    private += ["::1", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.1"]
    public = ["8.8.8.8", "172.32.0.1", "192.0.2.1", "198.18.0.1", "100.64.0.1", "0.0.0.0"]
    public += ["2001:db8::1", "::ffff:8.8.8.8", "::"]
    assert [smtp_module._is_private(peer) for peer in private + public] == [True] * 9 + [False] * 9


async def test_a_wrong_or_missing_login_delays_the_mail_and_is_never_told(
    serve: Serve, open_pool: OpenPool, tls: dict[str, Any], certificates: Certificates
) -> None:
    server = serve(**tls, auth_required=True)
    for login, answer in (("user:secret@", "535 5.7.8"), ("", "530 5.7.0")):
        with pytest.raises(MailDelayed) as delayed:
            await open_pool(server.url("smtp+starttls", login, certificates.query)).send(BOB, MAIL)
        assert str(delayed.value) == f"127.0.0.1:{server.port}: {answer}"


@pytest.mark.parametrize(
    "to", ["bob@example.com\r\nRCPT TO:<eve@example.org>", "bob@a@b", "a@b,c@d", "<a@b>", "a\0@b", "bob"]
)
async def test_an_injected_recipient_is_refused_before_any_connection(
    serve: Serve, open_pool: OpenPool, to: str
) -> None:
    server = serve()
    with pytest.raises(MailRefused):
        await open_pool(server.url()).send(to, MAIL)
    assert not server.seen


def test_the_password_is_in_no_repr(certificates: Certificates) -> None:
    smtp_pool = SmtpPool([f"smtps://user:secret@[::1]{certificates.query}"], SENDER)
    [server] = smtp_pool._servers
    assert "secret" not in repr(server)
    assert str(server) == "[::1]:465"


async def test_a_subject_cannot_bring_headers_of_its_own(serve: Serve, open_pool: OpenPool) -> None:
    server = serve()
    await open_pool(server.url()).send(BOB, Rendered("Hello\r\nBcc: eve@example.org", "text", "html"))
    [letter] = server.letters
    assert letter["Subject"] == "Hello Bcc: eve@example.org"
    assert "Bcc" not in letter
