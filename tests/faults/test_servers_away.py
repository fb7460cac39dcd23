"""PostgreSQL or Valkey is stopped, killed, frozen or out of reach: an honest 503 in time, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from devstack.server import Server
from tests.faults.conftest import Place
from tests.support.service.contract import forms_of
from tests.support.service.process import Service
from tests.support.state.database_inspector import inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import before_their_last_answer
from tests.support.users.people import Walker, a_wrong_code, new_person
from tests.support.users.signed_in import SignedIn
from tests.support.users.staff import staff_of

ANSWERED_WITHIN = 2.0
BACK_WITHIN = 5.0
CLAIM_SECONDS = 5

PUT = ("/me/password", "/me/login", "/me/locale")
PATCH = {
    "/admin/roles/{role}": "/admin/roles/user",
    "/admin/permissions/{permission}": "/admin/permissions/account:read",
}
CHANGE_WHAT_A_ROLE_ALLOWS = ("/admin/roles/{role}", "/admin/permissions")
"""Until it is known whether such a change stands, PostgreSQL is asked what anybody may do."""
ADMIN_READS = ("/admin/users", "/admin/roles", "/admin/permissions", "/admin/mail", "/admin/audit")
NEED_NOTHING = ("/health/live", "/openapi.json", "/docs", "/.well-known/jwks.json")


@pytest.fixture
def service(place: Place) -> Service:
    place.service.wait_until_ready()
    return place.service


@dataclass(frozen=True)
class Calls:
    """Every call that needs a server, with what it takes to succeed; two flows are kept for guesses alone."""

    posts: dict[str, dict[str, object]]
    token: str
    guessed: dict[str, tuple[str, str]]
    owners: dict[str, SignedIn]
    """Who makes the calls that need an access token, by how their paths begin."""

    def send(self, walk: Walker, path: str) -> httpx.Response:
        """One of the calls."""
        for beginning, owner in self.owners.items():
            if path.startswith(beginning):
                method = "PUT" if path in PUT else "PATCH" if path in PATCH else "POST"
                return owner.call(method, PATCH.get(path, path), **self.posts[path])
        return walk.post(path, **self.posts[path])


def _prepare(walk: Walker, service: Service) -> Calls:
    steps = before_their_last_answer(walk)
    ann, rea = steps["/login/confirm"][0], steps["/recover/confirm"][0]
    late, bea, own, dan = (new_person(name) for name in ("late", "bea", "own", "dan"))
    for person in (own, dan):
        walk.register(person)
    with staff_of(service) as staff:
        chief = staff.admin()
        # What a change of a role that an earlier fault cut off has left ends by itself after 10 s: not waited for here.
        staff.db.valkey.delete("roles")
    admin = SignedIn(walk, chief.person, chief.tokens)
    owner, leaver = (SignedIn(walk, person, walk.open_session(person)) for person in (own, dan))
    email_key, email_code = owner.open_email_change(f"new-{own.email}")
    delete_key, delete_code = leaver.open_deletion()
    token = walk.log_in(ann)
    posts: dict[str, dict[str, object]] = {
        **{path: body for path, (_, body) in steps.items()},
        "/register": {"email": late.email, "login": late.login, "password": late.password},
        "/register/resend": {"session_key": walk.open_registration(bea)[0]},
        "/login": {"login": ann.login, "password": ann.password},
        "/login/resend": {"session_key": walk.open_login(ann)[0]},
        "/recover": {"email": rea.email},
        "/recover/resend": {"session_key": walk.open_recovery(rea)[0]},
        "/token/refresh": {"refresh_token": walk.open_session(ann).refresh},
        "/logout": {"refresh_token": walk.open_session(ann).refresh},
        "/me/login": {"password": own.password, "login": f"new-{own.login}"},
        "/me/locale": {"locale": "ru"},
        "/me/email": {"password": own.password, "email": f"newer-{own.email}"},
        "/me/email/resend": {"session_key": owner.open_email_change(f"newest-{own.email}")[0]},
        "/me/email/confirm": {"session_key": email_key, "code": email_code},
        "/me/password": {"current_password": own.password, "password": "a new one 4711"},
        "/me/delete/resend": {"session_key": leaver.open_deletion()[0]},
        "/me/delete/confirm": {"session_key": delete_key, "code": delete_code},
        "/admin/users": {"email": f"guest-{own.email}", "login": f"guest-{own.login}"},
        "/admin/roles": {"name": own.login, "description": "Reads.", "permissions": ["account:read"]},
        "/admin/roles/{role}": {"description": "Everybody."},
        "/admin/permissions": {"name": f"{own.login}:read", "description": "Read."},
        "/admin/permissions/{permission}": {"description": "See the own account."},
    }
    assert admin.call("GET", "/me").status_code == 200
    assert owner.call("GET", "/me").status_code == leaver.call("GET", "/me").status_code == 200
    assert walk.me(token).status_code == 200
    guessed = {"login": walk.open_login(ann), "recover": walk.open_recovery(rea)}
    return Calls(posts, token, guessed, {"/me/delete": leaver, "/me/": owner, "/admin/": admin})


def test_the_calls_of_these_tests_are_all_there_are(place: Place, walk: Walker) -> None:
    assert forms_of(place.service).keys() == _prepare(walk, place.service).posts.keys()


FAULTS = {
    "postgresql": ("stopped", "killed", "frozen", "out of reach"),
    "valkey": ("killed", "frozen", "out of reach"),
}


@contextmanager
def _away(place: Place, name: str, fault: str) -> Iterator[None]:
    server: Server = place.servers.postgres if name == "postgresql" else place.servers.valkey
    proxy = place.postgres if name == "postgresql" else place.valkey
    match fault:
        case "stopped":
            place.servers.postgres.stop("immediate")
        case "killed":
            server.kill()
        case "frozen":
            server.pause()
        case _:
            proxy.swallow = True
    yield
    proxy.swallow = False
    if fault == "frozen":
        server.resume()
    server.start()


@pytest.mark.parametrize(("server", "fault"), [(server, one) for server, faults in FAULTS.items() for one in faults])
def test_what_needs_a_server_that_is_away_says_so_in_time_and_loses_nothing(
    server: str, fault: str, place: Place, walk: Walker
) -> None:
    calls = _prepare(walk, place.service)
    with inspect_database(place.service) as db:
        # A mail that has come is not settled yet; settled after a fault it would be sent anew, with another code.
        db.wait_until_all_mail_has_left()
    with _away(place, server, fault):
        # The first round meets connections that were good a moment ago, the second one makes new ones.
        for _ in range(2):
            _everything_is_refused_in_time(walk, calls, server)
        for path in CHANGE_WHAT_A_ROLE_ALLOWS:
            _is_an_honest_503(path, calls.send(walk, path))
        ready = walk.client.get("/health/ready")
        assert (ready.status_code, ready.elapsed.total_seconds() < ANSWERED_WITHIN) == (503, True)
        names = {"postgresql": "ok", "valkey": "ok", "signing key": "ok"} | {server: "away"}
        assert ready.json()["dependencies"] == names
    back_at = time.monotonic()
    eventually(lambda: walk.client.get("/health/ready").status_code == 200, BACK_WITHIN)
    eventually(lambda: walk.me(calls.token).status_code == 200, BACK_WITHIN)
    valkey_thawed = (server, fault) == ("valkey", "frozen")
    if valkey_thawed:
        # What the frozen server had been sent it does when it thaws, for callers that have long been told 503: guesses
        # are counted, which errs on the safe side, and a right code is claimed for nobody until its claim ends.
        time.sleep(max(0, back_at + CLAIM_SECONDS + 0.2 - time.monotonic()))
    for flow, (session_key, code) in calls.guessed.items():
        if not valkey_thawed:
            wrong = [walk.confirm(flow, session_key, a_wrong_code(code)).json()["attempts_left"] for _ in range(2)]
            assert wrong == [2, 1], f"a guess at {flow} was charged while {server} was away"
        assert walk.confirm(flow, session_key, code).status_code == 200, flow
    successes = {"/register/confirm": 201, "/register/login": 201, "/login/confirm": 200, "/recover/confirm": 200}
    successes |= {"/recover/password": 204, "/token/refresh": 200, "/logout": 204}
    successes |= {"/me/login": 200, "/me/locale": 200, "/me/email/confirm": 200}
    successes |= {"/me/password": 204, "/me/delete/confirm": 204}
    successes |= {"/admin/users": 201, "/admin/roles": 201, "/admin/permissions": 201} | dict.fromkeys(PATCH, 200)
    for path in calls.posts:
        answer = calls.send(walk, path)
        assert answer.status_code == successes.get(path, 202), (path, answer.text)
    assert "unforeseen" not in place.service.log()


def _everything_is_refused_in_time(walk: Walker, calls: Calls, server: str) -> None:
    bearer = {"Authorization": f"Bearer {calls.token}"}
    with ThreadPoolExecutor(40) as callers:
        refused = {
            path: callers.submit(calls.send, walk, path) for path in calls.posts.keys() - CHANGE_WHAT_A_ROLE_ALLOWS
        }
        admin = calls.owners["/admin/"]
        refused |= {f"GET {path}": callers.submit(admin.call, "GET", path) for path in ADMIN_READS}
        refused["/me/export"] = callers.submit(calls.owners["/me/"].call, "GET", "/me/export")
        refused["/me/delete"] = callers.submit(calls.owners["/me/delete"].call, "POST", "/me/delete")
        for flow, (session_key, code) in calls.guessed.items():
            # Without Valkey no guess is looked at; without PostgreSQL a right one must not be used up.
            guess = code if server == "postgresql" else a_wrong_code(code)
            refused[f"a guess at {flow}"] = callers.submit(walk.confirm, flow, session_key, guess)
        answered = {path: callers.submit(walk.client.get, path) for path in NEED_NOTHING}
        account = callers.submit(walk.client.get, "/me", headers=bearer).result()
    for name, call in refused.items():
        _is_an_honest_503(name, call.result())
    # service.md, section 3: what Valkey has at hand needs no PostgreSQL.
    if server == "postgresql":
        assert account.status_code == 200, account.text
    else:
        _is_an_honest_503("/me", account)
    for path, call in answered.items():
        assert (path, call.result().status_code) == (path, 200)
        assert call.result().elapsed.total_seconds() < ANSWERED_WITHIN, path


def _is_an_honest_503(name: str, answer: httpx.Response) -> None:
    assert answer.status_code == 503, (name, answer.status_code, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json", name
    assert answer.json()["code"] == "unavailable", name
    assert int(answer.headers["Retry-After"]) > 0, name
    assert answer.elapsed.total_seconds() < ANSWERED_WITHIN, (name, answer.elapsed)
