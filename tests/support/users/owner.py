"""The owner of an account that others attack, with devices that the account knows or does not know."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from devstack.mailbox import Mailbox
from tests.support.service.process import Service
from tests.support.users.people import Walker, new_person

COOKIE = "__Host-device"

DeviceHeaders = dict[str, str]
"""The headers by which a device shows that it is known."""

_passwords = itertools.count(10_000)


class Owner:
    """Somebody with an account, who calls from one new address after the other and from devices of his own."""

    def __init__(self, service: Service, mailbox: Mailbox, *, by_cookie: bool = False) -> None:
        self.person = new_person("owner")
        self.by_cookie = by_cookie
        self._service = service
        self._mailbox = mailbox
        self.device_headers: DeviceHeaders = {} if by_cookie else {"X-Device": "new"}
        with self._walking() as walk:
            self._keep(walk.confirm("register", *walk.open_registration(self.person)))

    @contextmanager
    def _walking(self) -> Iterator[Walker]:
        with self._service.client(headers=self.device_headers) as client:
            yield Walker(client, self._mailbox)

    def _keep(self, answer: httpx.Response) -> None:
        """Keep the device tokens, as a browser or an app does."""
        assert answer.is_success, answer.text
        if self.by_cookie:
            self.device_headers = {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}
        else:
            self.device_headers = {"X-Device": answer.headers["X-Device"]}

    def on_a_new_device(self) -> None:
        """Leave the known device at home."""
        self.device_headers = {"X-Device": "new"}
        self.by_cookie = False

    def log_in(self) -> None:
        with self._walking() as walk:
            self._keep(walk.confirm("login", *walk.open_login(self.person)))

    def recover(self) -> int:
        """Choose a new password by a mailed code; return how long the code was."""
        with self._walking() as walk:
            key, code = walk.open_recovery(self.person)
            self._choose(walk, walk.confirm("recover", key, code))
        return len(code)

    def recover_by(self, rescue_code: str) -> httpx.Response:
        """Begin a recovery and go on with a rescue code, whether or not a mail comes; return the answer to the code."""
        with self._walking() as walk:
            started = walk.post("/recover", email=self.person.email)
            assert started.status_code == 202, started.text
            confirmed = walk.confirm("recover", started.json()["session_key"], rescue_code)
            if confirmed.is_success:
                self._choose(walk, confirmed)
            return confirmed

    def _choose(self, walk: Walker, confirmed: httpx.Response) -> None:
        assert confirmed.status_code == 200, confirmed.text
        password = f"a new one, {next(_passwords)}"
        self._keep(walk.post("/recover/password", session_key=confirmed.json()["session_key"], password=password))
        self.person = self.person.with_password(password)
