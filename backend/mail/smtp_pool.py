"""Hands mails to SMTP: several servers in order of preference, over a few sessions that are kept."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from backend.mail.smtp import MailDelayed, MailRefused, ServerUnreached, SmtpServer, SmtpSession
from template_message.message import Sender, build_message, is_plain_address
from template_message.render import Rendered

DOWN_SECONDS: Final = 30


class SmtpPool:
    """Sends one mail at a time to one recipient, for as many tasks as like, over at most `connections` sessions."""

    def __init__(
        self,
        servers: Sequence[str],
        sender: str,
        *,
        connections: int = 4,
        connect_timeout: float = 5,
        command_timeout: float = 10,
    ) -> None:
        """Take the servers' URLs, the preferred one first, and raise ValueError for what cannot work."""
        self._servers = [SmtpServer.parse(url) for url in servers]
        if not self._servers or connections < 1:
            raise ValueError("a postman needs an SMTP server and a connection")
        self._sender = Sender.parse(sender)
        self._timeouts = connect_timeout, command_timeout
        self._closed = False
        # One place for each session there may be. Last in, first out: what a burst opened falls idle and is closed.
        self._places: asyncio.LifoQueue[SmtpSession | None] = asyncio.LifoQueue()
        for _ in range(connections):
            self._places.put_nowait(None)

    async def send(self, to: str, mail: Rendered) -> None:
        """Return when a server has taken the mail; raise MailRefused or MailDelayed, which name no address."""
        if not is_plain_address(to):
            raise MailRefused("the recipient is not one plain e-mail address")
        letter = build_message(self._sender, to, mail)
        session = await self._places.get()
        try:
            session = await self._deliver(session, to, letter)
        finally:
            self._give_back(session)

    async def close(self) -> None:
        """Close the idle sessions now, and those still sending as soon as they are done."""
        self._closed = True
        idle = [self._places.get_nowait() for _ in range(self._places.qsize())]
        for _ in idle:
            self._places.put_nowait(None)
        # A server that does not answer our goodbye has nothing left to tell us.
        await asyncio.gather(*(session.quit(timeout=1) for session in idle if session), return_exceptions=True)
        for session in filter(None, idle):
            session.retire()

    async def _deliver(self, session: SmtpSession | None, to: str, letter: bytes) -> SmtpSession:
        """Try the servers in order, the kept session first where it leads there, and return what may be kept."""
        lost: list[str] = []
        for server in self._standing():
            try:
                if session is not None and session.server is server and session.is_connected:
                    # The server may have closed it while it lay idle: that is no failure, a fresh one follows.
                    with suppress(ServerUnreached):
                        await session.hand_over(self._sender.address, to, letter)
                        return session
                if session is not None:
                    session.retire()
                session = await server.open(self._sender.domain, *self._timeouts)
                server.down_until = 0
                await session.hand_over(self._sender.address, to, letter)
            except ServerUnreached as reason:
                server.down_until = monotonic() + DOWN_SECONDS
                lost.append(str(reason))
            else:
                return session
        raise MailDelayed("; ".join(lost))

    def _standing(self) -> list[SmtpServer]:
        """Leave out the servers that failed a moment ago, unless that leaves none."""
        now = monotonic()
        return [server for server in self._servers if server.down_until <= now] or self._servers

    def _give_back(self, session: SmtpSession | None) -> None:
        if session is not None and session.is_connected:
            if self._closed:
                session.retire()
            else:
                session.rest()
        self._places.put_nowait(session)
