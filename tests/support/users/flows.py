"""What tests of the flows say again and again."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import httpx

from tests.support.users.people import Person, Walker, new_person

FLOWS = ("register", "login", "recover")
GONE = (410, "flow_gone")
WRONG_CODE = (400, "wrong_code")
MALFORMED = (422, "invalid_request")


def outcome(answer: httpx.Response) -> tuple[int, str]:
    """Status, and the code of a refusal; a success has none."""
    return answer.status_code, "" if answer.is_success else answer.json()["code"]


def opened(walk: Walker, flow: str) -> tuple[Person, str, str]:
    """A flow that waits for its code: whose it is, its key, and the right code."""
    person = new_person("reader")
    if flow != "register":
        walk.register(person)
    start = {"register": walk.open_registration, "login": walk.open_login, "recover": walk.open_recovery}[flow]
    return person, *start(person)


def ready_for_a_new_password(walk: Walker) -> tuple[Person, str]:
    """A recovery whose code is confirmed: whose it is, and the key of the next step."""
    person, key, code = opened(walk, "recover")
    confirmed = walk.confirm("recover", key, code)
    assert confirmed.status_code == 200, confirmed.text
    return person, confirmed.json()["session_key"]


def wait_until_after(moment: datetime, seconds: float) -> None:
    """Let time pass, where what is tested is what time alone does."""
    time.sleep(max(0.0, (moment + timedelta(seconds=seconds) - datetime.now(UTC)).total_seconds()))


def before_their_last_answer(walk: Walker) -> dict[str, tuple[Person, dict[str, object]]]:
    """A right request for every step of every flow, by its path: whose flow it is, and the body."""
    new, twin, ann, rea, pat = (new_person(name) for name in ("new", "twin", "ann", "rea", "pat"))
    for person in (ann, rea, pat):
        walk.register(person)
    codes = {"register": (new, walk.open_registration(new))}
    taken = walk.open("/register", twin.email, email=twin.email, login=ann.login, password=twin.password)
    assert walk.confirm("register", *taken).json()["code"] == "login_taken"
    codes |= {"login": (ann, walk.open_login(ann)), "recover": (rea, walk.open_recovery(rea))}
    password_key = walk.confirm("recover", *walk.open_recovery(pat)).json()["session_key"]
    return {
        **{f"/{flow}/confirm": (who, {"session_key": key, "code": code}) for flow, (who, (key, code)) in codes.items()},
        "/register/login": (twin, {"session_key": taken[0], "login": twin.login}),
        "/recover/password": (pat, {"session_key": password_key, "password": "a new one 4711"}),
    }


def an_unknown_key() -> str:
    """A session key that was never given out, and names a flow that no known device began."""
    raw = bytearray(secrets.token_bytes(48))
    raw[0] &= 0x7F
    return urlsafe_b64encode(raw).decode()
