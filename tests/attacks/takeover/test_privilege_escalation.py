"""threats.md, section 1 D, rows 34, 49 and 50: what an account is, nobody learns; what one may do, nobody chooses."""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any

import httpx
import jwt
import pytest

from models.values.permission import Permission
from tests.support.service.process import SERVICE_CLIENT, Service
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.people import Person, Tokens, Walker, new_person
from tests.support.users.staff import Staff, StaffMember
from tests.support.values.token_forger import TokenForger, stolen_key

FORBIDDEN = (403, "insufficient_scope")
INVALID = (401, "invalid_token")


def said(answer: httpx.Response) -> tuple[int, bytes, frozenset[str]]:
    """All of an answer but what differs between any two."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
    return answer.status_code, answer.content, frozenset(f"{name}: {value}" for name, value in headers.items())


# Row 34: no state of an account is told to who does not have its password.


STATES_ACTED_ON = ("blocked", "deleted")


@pytest.fixture
def states(staff: Staff, admin: StaffMember, walk: Walker) -> dict[str, Person]:
    """Somebody in every state that there is."""
    people = {state: new_person(state) for state in ("nobody", "registering", "invited", "deleted", "signed-in")}
    people |= {state: staff.appoint(name=state).person for state in ("plain", "blocked", "recovering")}
    walk.open_registration(people["registering"])
    invited = people["invited"]
    assert admin.post("/admin/users", email=invited.email, login=invited.login).status_code == 201
    for state in ("deleted", "signed-in"):
        walk.register(people[state])
    walk.log_in(people["signed-in"])
    walk.open_recovery(people["recovering"])
    ids = {
        state: admin.get("/admin/users", q=people[state].email).json()["items"][0]["id"] for state in STATES_ACTED_ON
    }
    assert admin.post(f"/admin/users/{ids['blocked']}/block").status_code == 204
    assert admin.delete(f"/admin/users/{ids['deleted']}").status_code == 204
    return people


def test_row_34_with_a_wrong_password_every_state_is_answered_alike(states: dict[str, Person], walk: Walker) -> None:
    for identifier in ("login", "email"):
        answers = {
            state: said(walk.post("/login", login=getattr(person, identifier), password="certainly not this"))
            for state, person in states.items()
        }
        assert {answer[0] for answer in answers.values()} == {401}
        assert len(set(answers.values())) == 1, answers


def test_row_34_a_recovery_and_a_registration_are_answered_alike(states: dict[str, Person], walk: Walker) -> None:
    def shape(answer: httpx.Response) -> tuple[int, dict[str, object]]:
        return answer.status_code, answer.json() | {"session_key": len(answer.json()["session_key"])}

    recoveries = [shape(walk.post("/recover", email=person.email)) for person in states.values()]
    assert recoveries == recoveries[:1] * len(states)
    registrations = [
        shape(walk.post("/register", email=person.email, login=person.login, password="an owl in the barn"))
        for person in states.values()
    ]
    assert registrations == registrations[:1] * len(states)


def test_row_34_a_block_is_told_to_who_has_given_password_and_code(states: dict[str, Person], walk: Walker) -> None:
    blocked = states["blocked"]
    key, code = walk.open_login(blocked)
    refused = walk.confirm("login", key, f"{(int(code) + 1) % 10_000:04}")
    assert outcome(refused) == (400, "wrong_code")
    assert outcome(walk.confirm("login", key, code)) == (403, "account_blocked")


# Row 49: what an administrator changes is seen by the next request, the next introspection and the next refresh.


def roles_in(tokens: Tokens) -> object:
    """What a token itself says, to a service that asks nobody."""
    return jwt.decode(tokens.access, options={"verify_signature": False})["roles"]


def introspected(walk: Walker, tokens: Tokens) -> Any:
    return walk.client.post("/introspect", data={"token": tokens.access}, auth=SERVICE_CLIENT).json()


def test_row_49_who_is_blocked_is_out_at_once(staff: Staff, admin: StaffMember, walk: Walker) -> None:
    member = staff.appoint()
    assert walk.me(member.tokens.access).status_code == 200
    assert admin.post(f"/admin/users/{member.id}/block").status_code == 204
    assert outcome(walk.me(member.tokens.access)) == INVALID
    assert introspected(walk, member.tokens) == {"active": False}
    assert outcome(walk.refresh(member.tokens.refresh)) == (400, "invalid_grant")


def test_row_49_who_is_no_administrator_any_more_has_no_token_that_says_so(
    staff: Staff, admin: StaffMember, walk: Walker
) -> None:
    former = staff.admin()
    tokens = Tokens.of(walk.refresh(former.tokens.refresh))
    assert roles_in(tokens) == ["admin", "user"]
    assert admin.delete(f"/admin/users/{former.id}/roles/admin").status_code == 204
    assert outcome(former.get("/admin/users")) == FORBIDDEN
    assert introspected(walk, tokens)["roles"] == ["user"]
    assert roles_in(Tokens.of(walk.refresh(tokens.refresh))) == ["user"]


# Row 50: nobody chooses what he may do.

WISHES: list[dict[str, object]] = [
    {"role": "admin"},
    {"roles": ["admin"]},
    {"is_admin": True},
    {"id": str(uuid.UUID(int=1))},
    {"permissions": ["user:write"]},
    {"blocked_at": None},
    {"has_password": True},
    {"version": 9},
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: next(iter(wish)))
def test_row_50_nobody_registers_or_is_invited_with_more_than_a_name(
    wish: dict[str, object], admin: StaffMember, walk: Walker, bob: Person
) -> None:
    names = {"email": bob.email, "login": bob.login}
    for answer in (
        walk.post("/register", **names, password=bob.password, **wish),
        admin.post("/admin/users", **names, **wish),
    ):
        assert outcome(answer) == MALFORMED
        assert [problem["field"] for problem in answer.json()["errors"]] == ["(unknown field)"]
    answer = admin.post("/admin/users", **names, password="canary canary")
    assert outcome(answer) == MALFORMED
    assert "canary" not in answer.text


def test_row_50_an_edited_token_is_none(staff: Staff, client: httpx.Client) -> None:
    member = staff.appoint()
    head, body, signature = member.tokens.access.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims |= {"roles": ["admin"], "permissions": [*Permission]}
    edited = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    answer = client.get("/admin/users", headers={"Authorization": f"Bearer {head}.{edited}.{signature}"})
    assert outcome(answer) == INVALID


def test_row_50_what_a_token_says_of_roles_is_not_believed_even_if_it_is_signed(
    service: Service, staff: Staff, client: httpx.Client
) -> None:
    member = staff.appoint()
    forger = TokenForger(stolen_key(service, staff.db), member.tokens.access)
    mighty = forger.token(roles=["admin"], permissions=[*Permission])
    assert outcome(client.get("/admin/users", headers={"Authorization": f"Bearer {mighty}"})) == FORBIDDEN


def test_row_50_a_user_at_an_admin_route_is_told_what_is_missing(staff: Staff) -> None:
    answer = staff.appoint().get("/admin/users")
    assert outcome(answer) == FORBIDDEN
    assert answer.json()["detail"] == "This needs user:read."
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'


Routes = dict[tuple[str, str], str]
NOBODYS = {
    **dict.fromkeys(("user_id", "session_id"), uuid.UUID(int=7)),
    "mail_id": 2**53,
    "role": "nobodys",
    "permission": "nobodys:read",
}


@pytest.fixture(scope="module")
def routes(service: Service) -> Routes:
    """Every call below /admin, and the permission that its description names."""
    told = service.get("/openapi.json").json()
    found = {}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/admin"):
                examples = operation["responses"]["403"]["content"]["application/problem+json"]["examples"]
                named = re.fullmatch(r"This needs (\S+)\.", examples["insufficient_scope"]["value"]["detail"])
                assert named, (method, path)
                found[method.upper(), path] = named[1]
    return found


def test_row_50_every_admin_route_asks_for_its_permission_and_for_no_other(
    routes: Routes, staff: Staff, client: httpx.Client
) -> None:
    assert len(routes) >= 20
    assert set(routes.values()) == {permission.value for permission in Permission if "account" not in permission}
    plain = staff.appoint()
    others = {needed: staff.with_permissions(*{*Permission} - {needed}) for needed in set(routes.values())}
    allowed = {needed: staff.with_permissions(needed) for needed in set(routes.values())}
    for (method, path), needed in routes.items():
        # Nobody's ids and an empty body: whoever is let in has then done nothing.
        place = path.format(**NOBODYS)
        assert outcome(client.request(method, place, json={})) == INVALID, (method, path)
        assert outcome(plain.call(method, place, json={})) == FORBIDDEN, (method, path)
        assert outcome(others[needed].call(method, place, json={})) == FORBIDDEN, (method, path)
        assert allowed[needed].call(method, place, json={}).status_code in (200, 404, 422), (method, path)
