"""The whole story as a stranger checks it: what `make run` starts, by HTTP and the mails on the disk alone."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
import jwt as pyjwt
import pytest

from devstack.ports import free_port

ROOT = Path(__file__).parents[3]

EMAIL = "carol@example.com"
LOGIN = "carol"
PASSWORD = "a walk along the quiet river"
NEW_PASSWORD = "two owls above the old barn"


class Stranger:
    """Knows the address of the service and the folder of its mails, nothing else."""

    def __init__(self, client: httpx.Client, mails: Path) -> None:
        self.url = str(client.base_url)
        self._client = client
        self._mails = mails

    def post(self, path: str, **body: str) -> httpx.Response:
        return self._client.post(path, json=body)

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        return self._client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})

    def mails(self) -> list[Path]:
        """The mails so far, oldest first; they are named by the time of their arrival."""
        return sorted(self._mails.glob("*.eml"))

    def next_mail(self, already: int) -> list[str]:
        """The lines of the first mail after the ones that were there already, once it is there."""
        deadline = time.monotonic() + 15
        while len(self.mails()) <= already:
            assert time.monotonic() < deadline, "no mail came within 15 s"
            time.sleep(0.05)
        mail = message_from_bytes(self.mails()[already].read_bytes(), policy=policy.default)
        assert mail["To"] == EMAIL
        text = mail.get_body(("plain",))
        assert text is not None
        lines: list[str] = text.get_content().splitlines()
        return lines

    def pass_code(self, path: str, **body: str) -> httpx.Response:
        """Start a flow, take the code from its mail, and confirm it where the answer says."""
        already = len(self.mails())
        opened = self.post(path, **body)
        assert opened.status_code == 202, opened.text
        (code,) = codes(self.next_mail(already))
        return self.post(opened.json()["next"], session_key=opened.json()["session_key"], code=code)


def codes(lines: list[str]) -> list[str]:
    """The lines that are four digits and nothing else; in a mail with a code there is one."""
    return [line for line in lines if re.fullmatch(r"\d{4}", line)]


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    """What `make run` starts once its requirements are installed."""
    port, data = free_port(), tmp_path / "data"
    command = [sys.executable, "-m", "devstack", "run", "--port", str(port), "--data", str(data)]
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    with client, (tmp_path / "terminal").open("w") as terminal:
        running = subprocess.Popen(command, cwd=ROOT, stdout=terminal, stderr=subprocess.STDOUT)
        try:
            caller = Stranger(client, data / "mail")
            _wait_until_ready(caller, running, tmp_path / "terminal")
            yield caller
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0, (tmp_path / "terminal").read_text()


def _wait_until_ready(caller: Stranger, running: subprocess.Popen[bytes], terminal: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert running.poll() is None, terminal.read_text()
        try:
            if caller.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(terminal.read_text())


def _check_by_pyjwt(url: str, token: str) -> dict[str, Any]:
    """Verify a token as a service would that is written with PyJWT and knows our address alone."""
    key = pyjwt.PyJWKClient(f"{url}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    with pytest.raises(pyjwt.InvalidSignatureError):
        pyjwt.decode(_forged(token), key, algorithms=["ES256"], issuer=url, audience=url)
    claims: dict[str, Any] = pyjwt.decode(
        token,
        key,
        algorithms=["ES256"],
        issuer=url,
        audience=url,
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]},
    )
    return claims


def _forged(token: str) -> str:
    """The same claims under a signature in which one letter differs."""
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def test_a_stranger_registers_logs_in_verifies_the_token_and_recovers(stranger: Stranger) -> None:
    registered = stranger.pass_code("/register", email=EMAIL, login=LOGIN, password=PASSWORD)
    assert registered.status_code == 201, registered.text
    user = registered.json()
    assert (user["email"], user["login"], user["roles"]) == (EMAIL, LOGIN, ["user"])

    for name in (LOGIN, EMAIL):
        logged_in = stranger.pass_code("/login", login=name, password=PASSWORD)
        assert logged_in.status_code == 200, logged_in.text
        tokens = logged_in.json()
        assert (tokens["token_type"], logged_in.headers["Cache-Control"]) == ("Bearer", "no-store")
        me = stranger.get("/me", tokens["access_token"])
        assert (me.status_code, me.json()) == (200, user)
        claims = _check_by_pyjwt(stranger.url, tokens["access_token"])
        assert claims["sub"] == user["id"]
        assert claims["exp"] - claims["iat"] == tokens["expires_in"]
        assert (claims["roles"], claims["permissions"]) == (user["roles"], user["permissions"])

    confirmed = stranger.pass_code("/recover", email=EMAIL)
    assert confirmed.status_code == 200, confirmed.text
    already = len(stranger.mails())
    chosen = stranger.post(confirmed.json()["next"], session_key=confirmed.json()["session_key"], password=NEW_PASSWORD)
    assert chosen.status_code == 204, chosen.text
    assert codes(stranger.next_mail(already)) == [], "the notice of a changed password holds no code"

    refused = stranger.post("/login", login=LOGIN, password=PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_credentials")
    assert stranger.pass_code("/login", login=LOGIN, password=NEW_PASSWORD).status_code == 200
