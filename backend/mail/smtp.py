"""One SMTP server and one session with it: who it may be, what must be encrypted, and what its answers mean."""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponse,
    SMTPResponseException,
)
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
# At whatever command they come, these are about our account at the server, never about the recipient (RFC 4954 §6).
ACCOUNT_TROUBLE: Final = {530, 534, 535, 538}


class MailRefused(Exception):
    """The server refused this recipient or this message for good: trying again is useless."""


class MailDelayed(Exception):
    """The mail could not be handed over now, or nobody knows whether it was: try again later."""


class RecipientDelayed(MailDelayed):
    """The server works and would not take this recipient now (greylisting): it says nothing about other mail."""


class ServerUnreached(Exception):
    """The server was lost before it can have had the message: another connection, or another server, may take it."""


class SmtpSession(SMTP):
    """One SMTP session with one server, which knows whether the server may already have the message."""

    server: "SmtpServer"
    _may_have_message = False
    _retirement: asyncio.TimerHandle | None = None

    async def data(
        self,
        message: str | bytes,
        /,
        *,
        timeout: float | Literal[Default.token] | None = Default.token,  # noqa: ASYNC109  the library's signature
    ) -> SMTPResponse:
        """Note that from here on a lost connection leaves open whether the mail was taken."""
        self._may_have_message = True
        return await super().data(message, timeout=timeout)

    async def hand_over(self, sender: str, to: str, letter: bytes) -> None:
        """Send one message; after ServerUnreached, MailRefused or MailDelayed the session is closed."""
        if self._retirement is not None:
            self._retirement.cancel()
        self._may_have_message = False
        try:
            # The library's `sendmail` for one recipient, whom it would parse once more, and reset what we close.
            await self.mail(sender, options=[f"SIZE={len(letter)}"] if self.supports_extension("size") else [])
            await self.rcpt(to)
            await self.data(letter)
        except (SMTPException, OSError) as error:
            self.close()
            verdict = self._judge(error)
        except BaseException:
            # Cancelled half-way: what the server makes of the next command is anybody's guess.
            self.close()
            raise
        else:
            return
        # Raised outside the handler: the library's exceptions hold the recipient, and a chained traceback prints them.
        raise verdict

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
        """Close at once: a polite end of TLS waits half a minute for a server that has gone."""
        transport = self.transport
        super().close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def rest(self) -> None:
        """Stay open for a while for the next mail, and leave before the server closes on us."""
        self._retirement = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.retire)

    def retire(self) -> None:
        """Say QUIT and leave without waiting for the answer."""
        if self._retirement is not None:
            self._retirement.cancel()
        if self.protocol is not None and self.protocol.is_connected:
            self.protocol.write(b"QUIT\r\n")
        self.close()


@dataclass(slots=True, eq=False)
class SmtpServer:
    """One SMTP server: where it is, whom it may be, and until when it is taken to be down."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)
    down_until: float = 0

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtp://`, `smtps://` or `smtp+starttls://`, with `?ca=` for a private CA, as settings let it pass."""
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

    async def open(self, our_name: str, connect_timeout: float, command_timeout: float) -> SmtpSession:
        """Open a session that is encrypted or does not leave the house, and log in; raise ServerUnreached."""
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
        """Encrypt the session where it is not encrypted yet, or make sure that it stays in the house."""
        await session.ehlo()
        if self.scheme == "smtp+starttls" or (self.scheme == "smtp" and session.supports_extension("starttls")):
            await session.starttls()
        elif self.scheme == "smtp" and not _is_private(session.get_transport_info("peername")[0]):
            # Somebody on the way can strike STARTTLS out of the offer; he gets neither mail nor password.
            raise SMTPException("STARTTLS is not offered, and the address is neither loopback nor private")


def _is_private(peer: str) -> bool:
    address = ip_address(peer)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in PRIVATE_NETWORKS)


def _explain(error: Exception) -> str:
    """Say what happened; of a server's answer only the codes, for its words may quote address or password."""
    if isinstance(error, SMTPResponseException):
        enhanced = ENHANCED_CODE.match(error.message)
        return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)
    return str(error) or type(error).__name__
