"""/admin/roles, /admin/permissions and who has which: what they allow is seen at once, and nobody rises by himself."""

from __future__ import annotations

import itertools
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.values.permission import Permission
from tests.support.requests.burst import burst_of, outcomes
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import SERVICE_CLIENT, Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.state.eventually import eventually
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.staff import Staff, StaffMember

FORBIDDEN = (403, "insufficient_scope")
_numbers = itertools.count(1)


service = service_fixture(workers=2)
"""A service of its own: what a role allows is every user's business, and administrators are counted."""


def a_role(admin: StaffMember, *permissions: str) -> str:
    """A new role that allows these."""
    name = f"role-{next(_numbers)}"
    body = {"name": name, "description": "For a test.", "permissions": permissions}
    answer = admin.call("POST", "/admin/roles", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {**body, "permissions": sorted(permissions), "built_in": False}
    return name


def a_permission(admin: StaffMember) -> str:
    """A new permission."""
    name = f"reports{next(_numbers)}:read"
    answer = admin.call("POST", "/admin/permissions", json={"name": name, "description": "See them."})
    assert answer.status_code == 201, answer.text
    return name


def permissions_of(official: StaffMember) -> list[str]:
    """What the next request and the next introspection say that somebody may do; they say the same."""
    answer = official.call("GET", "/me")
    assert answer.status_code == 200, answer.text
    told = official.client.post("/introspect", data={"token": official.tokens.access}, auth=SERVICE_CLIENT).json()
    found: list[str] = answer.json()["permissions"]
    assert told["permissions"] == found
    assert told["roles"] == answer.json()["roles"]
    return found


# What there is at first.


def test_the_shipped_roles_and_permissions_are_those_that_the_code_asks_for(admin: StaffMember) -> None:
    permissions = admin.call("GET", "/admin/permissions").json()
    assert {one["name"] for one in permissions if one["built_in"]} == {*Permission}
    roles = {role["name"]: role for role in admin.call("GET", "/admin/roles").json()}
    assert {*Permission} <= {*roles["admin"]["permissions"]} == {one["name"] for one in permissions}
    assert roles["user"]["permissions"] == ["account:read", "account:write"]
    assert roles["admin"]["built_in"]
    assert roles["user"]["built_in"]


# Roles.


def test_a_role_is_made_read_changed_and_deleted(admin: StaffMember) -> None:
    role = a_role(admin, "user:read")
    assert outcome(admin.call("POST", "/admin/roles", json={"name": role, "description": "x", "permissions": []})) == (
        409,
        "role_exists",
    )
    changed = admin.call("PATCH", f"/admin/roles/{role}", json={"description": "Another."})
    assert changed.json() == {"name": role, "description": "Another.", "permissions": ["user:read"], "built_in": False}
    changed = admin.call("PATCH", f"/admin/roles/{role}", json={"permissions": ["mail:read", "mail:read"]})
    assert changed.json()["permissions"] == ["mail:read"]
    assert admin.call("GET", f"/admin/roles/{role}").json() == changed.json()
    assert admin.call("DELETE", f"/admin/roles/{role}").status_code == 204
    for method, body in (("GET", None), ("PATCH", {"description": "x"}), ("DELETE", None)):
        assert outcome(admin.call(method, f"/admin/roles/{role}", json=body)) == (404, "role_not_found")


def test_a_role_of_unknown_permissions_is_refused_and_not_made(admin: StaffMember, db: DatabaseInspector) -> None:
    # The administrator may do everything there is, and nothing that there is not.
    before = db.value("SELECT count(*) FROM roles")
    body = {"name": "dreamer", "description": "x", "permissions": ["unicorn:ride"]}
    answer = admin.call("POST", "/admin/roles", json=body)
    assert outcome(answer) == (422, "unknown_permission")
    assert "unicorn" not in answer.text
    assert db.value("SELECT count(*) FROM roles") == before


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Reporter", "description": "x", "permissions": []},
        {"name": "r", "description": "x", "permissions": []},
        {"name": "reporter\n", "description": "x", "permissions": []},
        {"name": "reporter", "description": "", "permissions": []},
        {"name": "reporter", "description": "x\0", "permissions": []},
        {"name": "reporter", "description": "x", "permissions": ["reports"]},
        {"name": "reporter", "description": "x", "permissions": ["reports:read:all"]},
        {"name": "reporter", "description": "x", "permissions": "reports:read"},
        {"name": "reporter", "description": "x"},
        {"name": "reporter", "description": "x", "permissions": [], "built_in": True},
        {"name": "reporter", "description": "x", "permissions": ["a:b"] * 101},
    ],
)
def test_a_role_that_is_written_wrongly_is_refused(body: dict[str, object], admin: StaffMember) -> None:
    assert outcome(admin.call("POST", "/admin/roles", json=body)) == MALFORMED


@pytest.mark.parametrize("role", ["admin", "user"])
def test_a_shipped_role_is_not_deleted(role: str, admin: StaffMember) -> None:
    assert outcome(admin.call("DELETE", f"/admin/roles/{role}")) == (409, "built_in")


def test_administrators_may_always_do_everything(admin: StaffMember) -> None:
    assert outcome(admin.call("PATCH", "/admin/roles/admin", json={"permissions": []})) == (409, "built_in")
    assert a_permission(admin) in permissions_of(admin)


# Permissions.


def test_a_permission_is_made_described_and_deleted_and_leaves_every_role(admin: StaffMember) -> None:
    permission = a_permission(admin)
    role = a_role(admin, permission, "user:read")
    again = admin.call("POST", "/admin/permissions", json={"name": permission, "description": "x"})
    assert outcome(again) == (409, "permission_exists")
    described = admin.call("PATCH", f"/admin/permissions/{permission}", json={"description": "Another."})
    assert described.json() == {"name": permission, "description": "Another.", "built_in": False}
    assert admin.call("DELETE", f"/admin/permissions/{permission}").status_code == 204
    assert admin.call("GET", f"/admin/roles/{role}").json()["permissions"] == ["user:read"]
    for method, body in (("PATCH", {"description": "x"}), ("DELETE", None)):
        answer = admin.call(method, f"/admin/permissions/{permission}", json=body)
        assert outcome(answer) == (404, "permission_not_found")


def test_what_the_service_itself_asks_for_is_not_deleted(admin: StaffMember) -> None:
    for permission in Permission:
        assert outcome(admin.call("DELETE", f"/admin/permissions/{permission}")) == (409, "built_in")


def test_there_are_no_more_permissions_than_a_token_can_hold(admin: StaffMember, db: DatabaseInspector) -> None:
    there = db.value("SELECT count(*) FROM permissions")
    names = [f"{'x' * 30}{number:03d}:{'y' * 6}" for number in range(100 - there)]
    for name in names:
        assert admin.call("POST", "/admin/permissions", json={"name": name, "description": "x"}).status_code == 201
    one_more = admin.call("POST", "/admin/permissions", json={"name": "one:more", "description": "x"})
    assert outcome(one_more) == (409, "too_many_permissions")
    # Whoever has all of them, and as many roles as there may be, still comes in with the token that he is given.
    for number in range(20 - 2):
        db.rows("INSERT INTO roles (name, description) VALUES ($1, 'x')", f"{'r' * 29}{number:03d}")
        assert admin.call("PUT", f"/admin/users/{admin.id}/roles/{'r' * 29}{number:03d}").status_code == 204
    refreshed = admin.client.post("/token/refresh", json={"refresh_token": admin.tokens.refresh}).json()["access_token"]
    assert len(refreshed) > 6_000
    assert admin.client.get("/me", headers={"Authorization": f"Bearer {refreshed}"}).status_code == 200
    assert outcome(admin.call("PUT", f"/admin/users/{admin.id}/roles/{a_role(admin)}")) == (409, "too_many_roles")
    for name in names:
        assert admin.call("DELETE", f"/admin/permissions/{name}").status_code == 204


# Who has which.


def test_a_role_that_is_given_or_taken_is_seen_by_the_next_request_and_the_next_introspection(
    staff: Staff, admin: StaffMember
) -> None:
    permission = a_permission(admin)
    role = a_role(admin, permission)
    carol = staff.appoint(name="carol")
    for _ in range(10):
        assert permission not in permissions_of(carol)
        # Once more does no harm.
        for _ in range(2):
            assert admin.call("PUT", f"/admin/users/{carol.id}/roles/{role}").status_code == 204
        assert permission in permissions_of(carol)
        for _ in range(2):
            assert admin.call("DELETE", f"/admin/users/{carol.id}/roles/{role}").status_code == 204


def test_what_a_role_allows_is_seen_by_everybody_who_has_it_at_the_next_request(
    staff: Staff, admin: StaffMember
) -> None:
    permission = a_permission(admin)
    role = a_role(admin)
    crowd = [staff.appoint(role, name="crowd") for _ in range(4)]
    for _ in range(10):
        assert not any(permission in permissions_of(one) for one in crowd)
        assert admin.call("PATCH", f"/admin/roles/{role}", json={"permissions": [permission]}).status_code == 200
        assert all(permission in permissions_of(one) for one in crowd)
        assert admin.call("PATCH", f"/admin/roles/{role}", json={"permissions": []}).status_code == 200
    assert admin.call("PATCH", f"/admin/roles/{role}", json={"permissions": [permission]}).status_code == 200
    assert all(permission in permissions_of(one) for one in crowd)
    assert admin.call("DELETE", f"/admin/roles/{role}").status_code == 204
    assert not any(permission in permissions_of(one) for one in crowd)


def test_a_role_or_a_user_that_is_not_there_is_told(admin: StaffMember, staff: Staff) -> None:
    member = staff.appoint()
    for method in ("PUT", "DELETE"):
        assert outcome(admin.call(method, f"/admin/users/{uuid.uuid4()}/roles/user")) == (404, "user_not_found")
        assert outcome(admin.call(method, f"/admin/users/{member.id}/roles/nothing")) == (404, "role_not_found")
        assert outcome(admin.call(method, "/admin/users/nobody/roles/user")) == MALFORMED
        assert outcome(admin.call(method, f"/admin/users/{member.id}/roles/No-Role")) == MALFORMED


# Nobody rises by himself.


def test_nobody_gives_or_takes_what_he_may_not_do_himself(
    admin: StaffMember, staff: Staff, db: DatabaseInspector
) -> None:
    lesser, mighty = a_role(admin, "role:read"), a_role(admin, "role:read", "user:write")
    name_alone = a_role(admin)
    assistant = staff.appoint(a_role(admin, "role:read", "role:write"), lesser, name="assistant")
    victim = staff.appoint("admin", mighty)
    refused: list[tuple[str, str, dict[str, object] | None]] = [
        ("PUT", f"/admin/users/{assistant.id}/roles/admin", None),
        ("PUT", f"/admin/users/{assistant.id}/roles/{mighty}", None),
        ("DELETE", f"/admin/users/{victim.id}/roles/{mighty}", None),
        ("DELETE", f"/admin/users/{victim.id}/roles/user", None),
        ("PATCH", f"/admin/roles/{lesser}", {"permissions": ["user:write"]}),
        ("PATCH", f"/admin/roles/{mighty}", {"permissions": []}),
        ("PATCH", f"/admin/roles/{mighty}", {"description": "x"}),
        ("DELETE", f"/admin/roles/{mighty}", None),
        ("POST", "/admin/roles", {"name": "my-own", "description": "x", "permissions": ["user:write"]}),
        ("DELETE", f"/admin/permissions/{a_permission(admin)}", None),
        ("PATCH", "/admin/permissions/user:write", {"description": "Harmless."}),
        # A service may ask for the name of a role that allows nothing.
        ("PUT", f"/admin/users/{assistant.id}/roles/{name_alone}", None),
        # What everybody has, administrators have, too.
        ("PATCH", "/admin/roles/user", {"permissions": []}),
    ]
    for method, path, body in refused:
        assert outcome(assistant.call(method, path, json=body)) == FORBIDDEN, (method, path)
    # Each try is written down with his name.
    told = "SELECT DISTINCT details FROM audit_log WHERE event = 'access.denied' AND actor = $1"
    eventually(lambda: len(db.rows(told, assistant.id)) == 7, within=10)
    equal = staff.appoint(name="equal")
    assert assistant.call("PUT", f"/admin/users/{equal.id}/roles/{lesser}").status_code == 204
    assert assistant.call("PATCH", f"/admin/roles/{lesser}", json={"permissions": ["role:write"]}).status_code == 200
    assert permissions_of(equal) == ["account:read", "account:write", "role:write"]
    # Once somebody who may do more has it, the assistant changes it no longer.
    assert admin.call("PUT", f"/admin/users/{victim.id}/roles/{lesser}").status_code == 204
    nothing: dict[str, object] = {"permissions": []}
    assert outcome(assistant.call("PATCH", f"/admin/roles/{lesser}", json=nothing)) == FORBIDDEN
    assert outcome(assistant.call("DELETE", f"/admin/roles/{lesser}")) == FORBIDDEN


def test_whoever_is_demoted_while_he_waits_does_nothing_any_more(
    staff: Staff, admin: StaffMember, db: DatabaseInspector
) -> None:
    demoted, crony = staff.appoint("admin"), staff.appoint()
    # His own demotion holds the row that he waits for.
    db.rows("BEGIN")
    db.rows("SELECT 1 FROM roles WHERE name = 'admin' FOR NO KEY UPDATE")
    with ThreadPoolExecutor(1) as other:
        given = other.submit(demoted.call, "PUT", f"/admin/users/{crony.id}/roles/admin")
        eventually(lambda: bool(db.rows("SELECT 1 FROM pg_locks WHERE NOT granted")), within=5, look_every=0.01)
        db.rows("DELETE FROM user_roles WHERE user_id = $1 AND role = 'admin'", demoted.id)
        db.rows("COMMIT")
        assert outcome(given.result()) == FORBIDDEN
    assert not db.value("SELECT count(*) FROM user_roles WHERE user_id = $1 AND role = 'admin'", crony.id)


def test_roles_and_permissions_that_change_at_once_are_a_refusal_at_worst(
    service: Service, admin: StaffMember, db: DatabaseInspector
) -> None:
    role = a_role(admin)

    def request(method: str, path: str, **body: object) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json"
        text = json.dumps(body)
        bearer = f"Authorization: Bearer {admin.tokens.access}\r\nContent-Length: {len(text)}"
        return f"{head}\r\n{bearer}\r\n\r\n{text}".encode()

    for _ in range(15):
        permission = a_permission(admin)
        answers = burst_of(
            service,
            [
                request("DELETE", f"/admin/permissions/{permission}"),
                request("PATCH", f"/admin/roles/{role}", permissions=[permission]),
                request("PATCH", f"/admin/roles/{role}", permissions=["user:read", permission]),
                request("PATCH", f"/admin/permissions/{permission}", description="Another."),
                request("POST", "/admin/roles", name=f"{role}-new", description="x", permissions=[permission]),
                request("DELETE", f"/admin/roles/{role}-new"),
            ],
        )
        assert max(answer.status for answer in answers) < 500, outcomes(answers)


# What is written down.


def test_every_change_is_written_down(admin: StaffMember, staff: Staff, db: DatabaseInspector) -> None:
    carol = staff.appoint(name="carol")
    permission = a_permission(admin)
    role = a_role(admin, permission)
    admin.call("PUT", f"/admin/users/{carol.id}/roles/{role}")
    admin.call("DELETE", f"/admin/users/{carol.id}/roles/{role}")
    admin.call("PATCH", f"/admin/roles/{role}", json={"permissions": ["user:read"]})
    admin.call("DELETE", f"/admin/roles/{role}")
    admin.call("DELETE", f"/admin/permissions/{permission}")
    rows = db.rows("SELECT event, subject, source, details FROM audit_log WHERE actor = $1 ORDER BY id", admin.id)
    assert [(row["event"], row["subject"]) for row in rows] == [
        ("permission.created", None),
        ("role.created", None),
        ("role.given", carol.id),
        ("role.taken", carol.id),
        ("role.changed", None),
        ("role.deleted", None),
        ("permission.deleted", None),
    ]
    assert {row["source"].rpartition("/")[2] for row in rows} == {"24"}
