"""The public address of a service, as a reverse proxy holds it, where every call of others is counted."""

from __future__ import annotations

import re

from tests.support.servers.smtp_tap import SmtpTap
from tests.support.service.process import Service

_REQUEST_LINE = re.compile(rb"^([A-Z]+ /\S*) HTTP/1\.1\r$", re.MULTILINE)


class PublicAddress(SmtpTap):
    """A port that is known before the service is: ``serving(ISSUER=address.url)``, and then `leads_to`."""

    def __init__(self) -> None:
        super().__init__(upstream=0)
        self.url = f"http://127.0.0.1:{self.port}"

    def leads_to(self, service: Service) -> None:
        self._upstream = service.port

    @property
    def calls(self) -> list[str]:
        """Method and path of each request so far, connection by connection."""
        return [line.decode() for line in _REQUEST_LINE.findall(self.transcript)]
