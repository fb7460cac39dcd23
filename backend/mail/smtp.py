"""One SMTP server and one session with it: what must be encrypted, and what the server's answers mean."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPRecipientRefused, SMTPResponse, SMTPResponseException
from aiosmtplib.typing import Default

IDLE_SECONDS: Final = 30
DEFAULT_PORTS: Final = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
# Loopback, RFC 1918, RFC 4193, link-local. Python's `is_private` also counts documentation and benchmark networks.
PRIVATE_NETWORKS: Final = (
    *map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")),
    *map(ip_network, ("::1/128", "fc00::/7", "fe80::/10")),
)
ENHANCED_CODE: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")
CLOSING: Final = 421
FINAL: Final = range(500, 600)
# At every command these are about our account at the server, never about the recipient (RFC 4954 §6).
ACCOUNT_TROUBLE: Final = {530, 534, 535, 538}


class MailRefused(Exception):
    """The server refused this recipient or this message for good: trying again is useless."""


class MailDelayed(Exception):
    """The mail was not handed over, or it is unknown whether it was: try again later."""


class RecipientDelayed(MailDelayed):
    """The server works and does not take this recipient now (greylisting): that says nothing about other mail."""


class ServerUnreached(Exception):
    """The connection was lost before the server can have taken the message: another connection may deliver it."""


class SmtpSession(SMTP):
    """One SMTP session with one server; it remembers whether the server may already have the message."""

    server: SmtpServer
    _may_have_message = False
    _idle_timer: asyncio.TimerHandle | None = None

    async def data(
        self,
        message: str | bytes,
        /,
        *,
        timeout: float | Literal[Default.token] | None = Default.token,  # noqa: ASYNC109  the library's signature
    ) -> SMTPResponse:
        """Note that a connection lost from here on leaves open whether the mail was taken."""
        self._may_have_message = True
        return await super().data(message, timeout=timeout)

    async def hand_over(self, sender: str, to: str, message: bytes) -> None:
        """Send one message; after ServerUnreached, MailRefused or MailDelayed the session is closed."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._may_have_message = False
        try:
            # Not the library's `sendmail`: it parses the recipient once more, and resets a session that we close.
            await self.mail(sender, options=[f"SIZE={len(message)}"] if self.supports_extension("size") else [])
            await self.rcpt(to)
            await self.data(message)
        except (SMTPException, OSError) as error:
            self.close()
            outcome = self._judge(error)
        except BaseException:
            # Cancelled half-way: the server would misread the next command.
            self.close()
            raise
        else:
            return
        # Raised outside the handler: the library's exceptions hold the recipient, and a chained traceback prints it.
        raise outcome

    def _judge(self, error: Exception) -> Exception:
        text = f"{self.server}: {_explain(error)}"
        code = error.code if isinstance(error, SMTPResponseException) else None
        if code in (None, CLOSING) and not self._may_have_message:
            return ServerUnreached(text)
        about_this_mail = isinstance(error, SMTPRecipientRefused | SMTPDataError) and code not in ACCOUNT_TROUBLE
        if about_this_mail and code in FINAL:
            return MailRefused(text)
        if isinstance(error, SMTPRecipientRefused) and code not in ACCOUNT_TROUBLE:
            return RecipientDelayed(text)
        return MailDelayed(text)

    def close(self) -> None:
        """Close at once: an orderly end of TLS waits half a minute for a server that has gone."""
        transport = self.transport
        super().close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def release(self) -> None:
        """Stay open for the next mail, and close before the server ends an idle session."""
        self._idle_timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.close_gracefully)

    def close_gracefully(self) -> None:
        """Send QUIT and close without waiting for the answer."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.protocol is not None and self.protocol.is_connected:
            self.protocol.write(b"QUIT\r\n")
        self.close()


@dataclass(slots=True, eq=False)
class SmtpServer:
    """One SMTP server: where it is, how to log in, and until when it is taken to be down."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)
    down_until: float = 0

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtp://`, `smtps://` or `smtp+starttls://`, with `?ca=` for a private CA; it was validated before."""
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        return cls(
            scheme=parts.scheme,
            host=parts.hostname or "",
            port=parts.port or DEFAULT_PORTS[parts.scheme],
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=ssl.create_default_context(cafile=options.get("ca", [None])[0]),
        )

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def connect(self, our_name: str, connect_timeout: float, command_timeout: float) -> SmtpSession:
        """Open a session that is encrypted or stays in the private network, and log in.

        Raises:
            ServerUnreached: there is no such session now.
        """
        session = SmtpSession(
            hostname=self.host,
            port=self.port,
            # Left out, the library would ask DNS for our own name at each connection, without a time limit.
            local_hostname=our_name,
            timeout=command_timeout,
            use_tls=self.scheme == "smtps",
            # Decided below: left to the library, it would log in, in clear, where STARTTLS is not offered.
            start_tls=False,
            tls_context=self.tls,
        )
        session.server = self
        try:
            await session.connect(timeout=connect_timeout)
            await self._secure(session)
            if self.user:
                await session.login(self.user, self.password)
        except (SMTPException, OSError) as error:
            session.close()
            raise ServerUnreached(f"{self}: {_explain(error)}") from None
        except BaseException:
            session.close()
            raise
        return session

    async def _secure(self, session: SmtpSession) -> None:
        """Encrypt the session if it is not encrypted yet, or make sure that it stays in the private network."""
        await session.ehlo()
        if self.scheme == "smtp+starttls" or (self.scheme == "smtp" and session.supports_extension("starttls")):
            await session.starttls()
        elif self.scheme == "smtp" and not _is_private(session.get_transport_info("peername")[0]):
            # An attacker on the path can remove STARTTLS from the offer, and gets neither mail nor password.
            raise SMTPException("STARTTLS is not offered, and the address is neither loopback nor private")


def _is_private(peer: str) -> bool:
    address = ip_address(peer)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in PRIVATE_NETWORKS)


def _explain(error: Exception) -> str:
    """Return the reason; of a server's answer only the codes, because its words may quote address or password."""
    if isinstance(error, SMTPResponseException):
        enhanced = ENHANCED_CODE.match(error.message)
        return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)
    return str(error) or type(error).__name__
