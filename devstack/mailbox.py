"""A real SMTP server that keeps every mail it accepts, for users to read and for tests to wait for."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property, partial
from pathlib import Path

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.folders import private_folder
from devstack.ports import free_port
from devstack.processes import DevstackError

MAX_SIZE = 1024 * 1024
CODE = re.compile(r"^[ \t]*([0-9]{4,12})[ \t]*$", re.MULTILINE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mail:
    """A mail as it came in for one recipient; a part that it does not have is empty."""

    to: str
    received_at: datetime
    path: Path
    content: bytes = field(repr=False)

    @cached_property
    def _message(self) -> EmailMessage:
        # Parsed on demand: that takes longer than to accept a mail, and few of a load test's mails are looked at.
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self._message["subject"] or "")

    @property
    def text(self) -> str:
        """The plain text part."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """The HTML part."""
        return self._part("html")

    @property
    def code(self) -> str | None:
        """The one-time code: the first line of the text part that is 4 to 12 digits and nothing else."""
        found = CODE.search(self.text)
        return found[1] if found else None

    def _part(self, kind: str) -> str:
        part = self._message.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""


class Mailbox:
    """An SMTP server in a thread of its own, on one port for the life of this object.

    `on_mail` gets each mail, in that thread. Port 0 stands for a free one.
    """

    def __init__(self, folder: Path, port: int = 0, on_mail: Callable[[Mail], None] | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.reply: Callable[[str], str | None] = lambda _: None
        """What to answer to a recipient, such as "450 4.2.0 try later"; None accepts. Replace it at any time."""
        self._on_mail = on_mail
        self._mails: list[Mail] = []
        self._by_recipient: defaultdict[str, list[Mail]] = defaultdict(list)
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to accept mail, at the same port as before."""
        if self._thread is not None:
            return
        private_folder(self.folder)
        started: Future[Callable[[], object]] = Future()
        thread = threading.Thread(target=lambda: uvloop.run(self._serve(started)), name="mailbox", daemon=True)
        thread.start()
        try:
            self._close = started.result()
        except OSError as problem:
            raise DevstackError(f"The mailbox cannot listen on port {self.port}: {problem.strerror}.") from None
        self._thread = thread

    def stop(self) -> None:
        """Cut every connection and refuse new ones, until the next start; the mails are kept."""
        if self._thread is not None:
            self._close()
            self._thread.join()
            self._thread = None

    def mails(self, to: str | None = None) -> list[Mail]:
        """List the mails that came in through this object, oldest first: all of them, or those to one address."""
        with self._arrived:
            return list(self._mails if to is None else self._by_recipient[to.lower()])

    def wait_for(self, to: str, count: int = 1, timeout: float = 10) -> Mail:
        """Wait until `count` mails to the address have come in altogether, and return the newest of them."""
        with self._arrived:
            arrived = self._by_recipient[to.lower()]
            if not self._arrived.wait_for(lambda: len(arrived) >= count, timeout):
                raise TimeoutError(
                    f"{len(arrived)} of {count} mails to {to} came within {timeout:g} s; {len(self._mails)} in all."
                )
            return arrived[-1]

    async def handle_RCPT(  # noqa: N802  aiosmtpd calls it by this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer to a recipient as scripted."""
        scripted = self.reply(address)
        if scripted is not None:
            return scripted
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  aiosmtpd calls it by this name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep the mail, once for each recipient."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        for address in envelope.rcpt_tos:
            mail = self._save(address, content)
            with self._arrived:
                self._mails.append(mail)
                self._by_recipient[mail.to.lower()].append(mail)
                self._arrived.notify_all()
            if self._on_mail is not None:
                try:
                    self._on_mail(mail)
                except Exception:
                    logger.exception("on_mail failed; the mail is kept")
        return "250 OK"

    async def _serve(self, started: Future[Callable[[], object]]) -> None:
        loop, closing = asyncio.get_running_loop(), asyncio.Event()
        # Without a name of its own, a connection would ask DNS for one.
        connection = partial(SMTP, self, data_size_limit=MAX_SIZE, hostname="localhost", ident="mailbox")
        try:
            server = await loop.create_server(connection, "127.0.0.1", self.port)
        except OSError as problem:
            started.set_exception(problem)
            return
        started.set_result(partial(loop.call_soon_threadsafe, closing.set))
        await closing.wait()
        # The connections are cut when this coroutine, and with it the loop, ends.
        server.close()

    def _save(self, address: str, content: bytes) -> Mail:
        received_at = datetime.now(UTC)
        recipient = re.sub(r"[^A-Za-z0-9@._+-]", "_", address)[:120]
        path = self.folder / f"{received_at:%Y-%m-%dT%H-%M-%S.%f}Z-{recipient}.eml"
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        draft.rename(path)
        return Mail(address, received_at, path, content)
