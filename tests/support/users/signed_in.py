"""Somebody with an access token, who acts on the own account."""

from __future__ import annotations

import json

import httpx

from tests.support.requests.burst import post
from tests.support.users.people import Person, Tokens, Walker


class SignedIn:
    """Calls `/me` with the token of one session."""

    def __init__(self, walk: Walker, person: Person, session: Tokens) -> None:
        self.walk = walk
        self.person = person
        self.session = session
        self.bearer = f"Bearer {session.access}"

    def call(self, method: str, path: str, **body: object) -> httpx.Response:
        sent = {"json": body} if body else {}
        return self.walk.client.request(method, path, headers={"Authorization": self.bearer}, **sent)  # type: ignore[arg-type]

    def request(self, method: str, path: str, **body: object) -> bytes:
        """The same call as bytes, for a burst."""
        sent = post(path, json.dumps(body).encode(), f"Authorization: {self.bearer}")
        return sent.replace(b"POST", method.encode(), 1)

    def change_email(self, email: str) -> httpx.Response:
        return self.call("POST", "/me/email", password=self.person.password, email=email)

    def open_email_change(self, email: str) -> tuple[str, str]:
        """Ask for another address; return the session key and the code that was mailed there."""
        already = len(self.walk.codes(email, "email"))
        answer = self.change_email(email)
        assert answer.status_code == 202, answer.text
        return answer.json()["session_key"], self.walk.next_code(email, already, "email")

    def open_flow(self, flow: str) -> tuple[str, str]:
        """Start a flow that asks for nothing; return the session key and the code."""
        already = len(self.walk.codes(self.person.email, flow))
        answer = self.call("POST", f"/me/{flow}")
        assert answer.status_code == 202, answer.text
        return answer.json()["session_key"], self.walk.next_code(self.person.email, already, flow)

    def open_deletion(self) -> tuple[str, str]:
        """Ask for the end of the account; return the session key and the code."""
        return self.open_flow("delete")

    def confirm(self, flow: str, session_key: str, code: str) -> httpx.Response:
        return self.call("POST", f"/me/{flow}/confirm", session_key=session_key, code=code)
