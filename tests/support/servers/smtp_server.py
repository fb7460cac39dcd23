"""An SMTP server for tests that behaves as it is told: willing, broken or hostile; and certificates for it."""
# ruff: noqa: N802  aiosmtpd finds its hooks by their names, handle_EHLO and so on.

import asyncio
import ssl
from collections import Counter
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devstack.ports import free_port

PASSWORD = "p@ss/w:rd% \N{LATIN SMALL LETTER E WITH ACUTE}"


class Wire(SMTP):
    """A session at the server's end, which the server counts."""

    greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.event_handler.wires.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.event_handler.wires.discard(self)

    def hang_up(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


class Door(Controller):
    """Lets in whoever knocks, one Wire each."""

    def factory(self) -> Wire:
        return Wire(self.handler, **self.SMTP_kwargs)


class Server:
    """A real SMTP server on a free loopback port that keeps what it takes and answers what it is told to."""

    def __init__(self, *, answers: dict[str, list[str]] | None = None, port: int = 0, **options: Any) -> None:
        self.letters: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.logins: list[LoginPassword] = []
        self.seen: Counter[str] = Counter()
        self.wires: set[Wire] = set()
        self.most_living = 0
        self.answers = answers or {}
        self.patience = 0.0
        self.port = port or free_port()
        self.options = {"authenticator": self.check_login} | options
        self.start()

    def start(self) -> None:
        self.controller = Door(self, hostname="127.0.0.1", port=self.port, **self.options)
        self.controller.start()

    @property
    def living(self) -> int:
        return sum(wire.greeted for wire in tuple(self.wires))

    def stop(self) -> None:
        if self.controller.server is not None:
            # aiosmtpd leaves open connections to the garbage collector: the client would not notice.
            for wire in tuple(self.wires):
                self.controller.loop.call_soon_threadsafe(wire.hang_up)
            self.controller.stop()

    def url(self, scheme: str = "smtp", login: str = "", query: str = "") -> str:
        return f"{scheme}://{login}127.0.0.1:{self.port}{query}"

    async def is_left(self) -> None:
        """Wait until the last client has gone, or fail."""
        async with asyncio.timeout(3):
            while self.living:  # noqa: ASYNC110  the server lives in another thread
                await asyncio.sleep(0.01)

    def answer(self, command: str) -> str:
        self.seen[command] += 1
        scripted = self.answers.get(command)
        return scripted.pop(0) if scripted else "250 OK"

    def check_login(self, *arguments: Any) -> AuthResult:
        self.logins.append(arguments[-1])
        return AuthResult(success=arguments[-1] == LoginPassword(b"us@er", PASSWORD.encode()), handled=False)

    async def handle_EHLO(self, wire: Wire, session: Session, _: Envelope, name: str, lines: list[str]) -> list[str]:
        self.seen["EHLO"] += 1
        wire.greeted = True
        self.most_living = max(self.most_living, self.living)
        session.host_name = name
        return lines

    async def handle_RCPT(self, wire: Wire, _: Session, envelope: Envelope, address: str, _options: list[str]) -> str:
        answer = self.answer("RCPT")
        if answer == "hang up":
            wire.hang_up()
        elif answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, wire: Wire, _: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.patience)
        answer = self.answer("DATA")
        if answer == "hang up":
            wire.hang_up()
        elif answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.envelopes.append(envelope)
            self.letters.append(message_from_bytes(envelope.content, EmailMessage, policy=policy.default))
        return answer


class Certificates:
    """A private CA, and a server certificate of it for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        now = datetime.now(UTC)

        def builder(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
            blank = x509.CertificateBuilder(ca_name, name, key.public_key(), x509.random_serial_number())
            return blank.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))

        loopback = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        ca = builder(ca_name, ca_key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        server = builder(x509.Name([]), server_key).add_extension(loopback, critical=True)
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
        chain = folder / "server.pem"
        chain.write_bytes(
            server_key.private_bytes(pem, pkcs8, serialization.NoEncryption())
            + server.sign(ca_key, hashes.SHA256()).public_bytes(pem)
        )
        self.server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server_context.load_cert_chain(chain)

    @property
    def query(self) -> str:
        return f"?ca={quote(str(self.ca))}"
