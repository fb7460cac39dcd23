"""Hands mails to SMTP: several servers in order of preference, over a few sessions that are kept open."""

from __future__ import annotations

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
    """Sends mails, each to one recipient, over at most `connections` sessions; any number of tasks may call `send`."""

    def __init__(
        self,
        servers: Sequence[str],
        sender: str,
        *,
        connections: int = 4,
        connect_timeout: float = 5,
        command_timeout: float = 10,
    ) -> None:
        """Take the servers' URLs, the preferred one first.

        Raises:
            ValueError: there is no server or no connection, or the sender is not an e-mail address.
        """
        self._servers = [SmtpServer.parse(url) for url in servers]
        if not self._servers or connections < 1:
            raise ValueError("an SMTP pool needs a server and a connection")
        self._sender = Sender.parse(sender)
        self._timeouts = connect_timeout, command_timeout
        self._closed = False
        # One slot for each session. Last in, first out: sessions that a burst has opened fall idle and are closed.
        self._slots: asyncio.LifoQueue[SmtpSession | None] = asyncio.LifoQueue()
        for _ in range(connections):
            self._slots.put_nowait(None)

    async def send(self, to: str, mail: Rendered) -> None:
        """Return when a server has taken the mail.

        Raises:
            MailRefused, MailDelayed: it was not taken; the texts name no address.
        """
        if not is_plain_address(to):
            raise MailRefused("the recipient is not one plain e-mail address")
        message = build_message(self._sender, to, mail)
        session = await self._slots.get()
        try:
            session = await self._deliver(session, to, message)
        finally:
            self._give_back(session)

    async def close(self) -> None:
        """Close the idle sessions now, and the others when their mail is sent."""
        self._closed = True
        idle = [self._slots.get_nowait() for _ in range(self._slots.qsize())]
        for _ in idle:
            self._slots.put_nowait(None)
        # A server that does not answer QUIT in time is not waited for.
        await asyncio.gather(*(session.quit(timeout=1) for session in idle if session), return_exceptions=True)
        for session in filter(None, idle):
            session.close_gracefully()

    async def _deliver(self, session: SmtpSession | None, to: str, message: bytes) -> SmtpSession:
        """Try the servers in order, over the kept session if it is with that server; return the session to be kept."""
        lost: list[str] = []
        for server in self._healthy_servers():
            try:
                if session is not None and session.server is server and session.is_connected:
                    # The server may have closed the idle session: that is no failure, a new session follows.
                    with suppress(ServerUnreached):
                        await session.hand_over(self._sender.address, to, message)
                        return session
                if session is not None:
                    session.close_gracefully()
                session = await server.connect(self._sender.domain, *self._timeouts)
                server.down_until = 0
                await session.hand_over(self._sender.address, to, message)
            except ServerUnreached as reason:
                server.down_until = monotonic() + DOWN_SECONDS
                lost.append(str(reason))
            else:
                return session
        raise MailDelayed("; ".join(lost))

    def _healthy_servers(self) -> list[SmtpServer]:
        """Return the servers without those that failed a moment ago; all of them if none would be left."""
        now = monotonic()
        return [server for server in self._servers if server.down_until <= now] or self._servers

    def _give_back(self, session: SmtpSession | None) -> None:
        if session is not None and session.is_connected:
            if self._closed:
                session.close_gracefully()
            else:
                session.release()
        self._slots.put_nowait(session)
