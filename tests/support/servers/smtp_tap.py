"""Listens in between the service and an SMTP server: every byte that the service says, as it goes over the wire."""

from __future__ import annotations

from tests.support.servers.proxy import Hold, Proxy, _Connection

END_OF_MAIL = b"\r\n.\r\n"


class SmtpTap(Proxy):
    """Passes everything on, and keeps what went up, connection by connection."""

    def __init__(self, upstream: int) -> None:
        super().__init__(upstream)
        self._heard: dict[int, bytearray] = {}

    @property
    def transcript(self) -> bytes:
        """What was said on all connections so far, one after the other."""
        return b"".join(bytes(said) for said in list(self._heard.values()))

    @property
    def commands(self) -> list[str]:
        """The lines that were said outside of any mail's content."""
        lines: list[str] = []
        in_content = False
        for line in self.transcript.decode("latin-1").split("\r\n"):
            if in_content:
                in_content = line != "."
            else:
                lines.append(line)
                in_content = line.upper() == "DATA"
        return [line for line in lines if line]

    def _held_question(self, connection: _Connection, message: bytes) -> Hold | None:
        self._heard.setdefault(connection.client_port, bytearray()).extend(message)
        return super()._held_question(connection, message)
