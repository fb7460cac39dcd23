"""/admin/audit: what happened is found by what, who, whose and when."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from models.context.audit import Event
from tests.support.state.eventually import eventually
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.people import Walker
from tests.support.users.staff import Staff, StaffMember


def lines(admin: StaffMember, **query: object) -> list[dict[str, Any]]:
    """Everything that fits, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = admin.get("/admin/audit", **query)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        query["cursor"] = answer.json()["next"]


@pytest.fixture
def blocked(staff: Staff, admin: StaffMember) -> StaffMember:
    """Somebody who was blocked, unblocked and signed out by the administrator, in that order."""
    member = staff.appoint()
    for call in ("block", "unblock"):
        assert admin.post(f"/admin/users/{member.id}/{call}").status_code == 204
    assert admin.delete(f"/admin/users/{member.id}/sessions").status_code == 204
    return member


def test_what_happened_is_told_the_newest_first(admin: StaffMember, blocked: StaffMember) -> None:
    told = lines(admin, subject=blocked.id)
    assert [line["event"] for line in told] == ["sessions.ended", "user.unblocked", "user.blocked"]
    assert {line["actor"] for line in told} == {str(admin.id)}
    assert {line["subject"] for line in told} == {str(blocked.id)}
    assert [line["id"] for line in told] == sorted((line["id"] for line in told), reverse=True)
    # The network that it came from, and no address.
    assert all(line["source"].startswith("127.") and line["source"].endswith(".0/24") for line in told)
    assert {line["times"] for line in told} == {1}


def test_lines_are_found_by_event_actor_and_moment(staff: Staff, admin: StaffMember, blocked: StaffMember) -> None:
    assert [line["subject"] for line in lines(admin, event="user.blocked", actor=admin.id)] == [str(blocked.id)]
    assert lines(admin, event="user.blocked", actor=blocked.id) == []
    newest, middle, oldest = lines(admin, actor=admin.id)
    assert lines(admin, actor=admin.id, since=newest["at"]) == [newest]
    assert lines(admin, actor=admin.id, until=middle["at"]) == [oldest]
    assert lines(admin, actor=admin.id, since=middle["at"], until=newest["at"]) == [middle]
    # The same moment, told in another zone.
    elsewhere = datetime.fromisoformat(middle["at"]).astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert lines(admin, actor=admin.id, since=elsewhere.isoformat()) == [newest, middle]


def test_pages_show_every_line_once(admin: StaffMember, blocked: StaffMember) -> None:
    assert lines(admin, subject=blocked.id, limit=1) == lines(admin, subject=blocked.id)


def test_what_was_refused_is_told_without_a_name(staff: Staff, admin: StaffMember, walk: Walker) -> None:
    member = staff.appoint(name="canary")
    for _ in range(3):
        assert walk.post("/login", login=member.person.login, password="not the right one").status_code == 401
    told: list[dict[str, Any]] = []

    def is_told() -> bool:
        # The first line; what was the same in the minute after it comes later, as one line with its count.
        told[:] = lines(admin, event="password.refused", subject=member.id)
        return bool(told)

    eventually(is_told, 5)
    assert {line["actor"] for line in told} == {None}
    assert all(line["details"] == {} for line in told)


def test_whose_account_is_gone_has_lines_all_the_same(staff: Staff, admin: StaffMember, blocked: StaffMember) -> None:
    assert admin.delete(f"/admin/users/{blocked.id}").status_code == 204
    assert lines(admin, subject=blocked.id)[0]["event"] == "account.deleted"
    assert len(lines(admin, subject=blocked.id)) == 4


def test_a_caller_without_the_permission_is_in_the_log_himself(staff: Staff, admin: StaffMember) -> None:
    assistant = staff.with_permissions("user:read")
    assert outcome(assistant.get("/admin/audit")) == (403, "insufficient_scope")
    eventually(lambda: bool(lines(admin, event="access.denied", actor=assistant.id)), 5)
    [line] = lines(admin, event="access.denied", actor=assistant.id)
    assert line["details"] == {"call": "GET /admin/audit", "needed": "audit:read"}


@pytest.mark.parametrize("event", Event)
def test_every_event_may_be_asked_for(event: Event, admin: StaffMember) -> None:
    assert admin.get("/admin/audit", event=event.value, limit=1).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        {"event": "canary"},
        {"event": "USER.BLOCKED"},
        {"actor": "canary"},
        {"subject": "canary"},
        {"since": "canary"},
        {"since": "2026-11-22"},
        {"since": "2026-11-22T18:00:00"},
        {"until": "2026-13-40T18:00:00Z"},
        {"until": "2026-11-22T18:00:00+99:00"},
        {"since": "0001-01-01T00:00:00+12:00"},
        {"until": "9999-12-31T23:59:59-12:00"},
        {"since": "9" * 400},
        {"since": "NaN"},
        {"since": "-1e400"},
        {"until": "canary\0"},
        {"limit": "-1"},
        {"cursor": "canary"},
        {"cursor": "_" * 11},
        {"canary": "canary"},
    ],
    ids=str,
)
def test_a_query_that_does_not_fit_is_refused_without_an_echo(query: dict[str, object], admin: StaffMember) -> None:
    answer = admin.get("/admin/audit", **query)
    assert outcome(answer) == MALFORMED, answer.text
    assert "canary" not in answer.text
    # An actor's or a moment's first odd letter is what the library would quote.
    assert "`" not in answer.text
    assert len(answer.text) < 2_000


@pytest.mark.parametrize(
    "query",
    [
        {"since": "0001-01-01T00:00:00Z"},
        {"until": "9999-12-31T23:59:59.999999Z"},
        {"since": "1700000000"},
        {"actor": str(uuid.UUID(int=0))},
    ],
    ids=str,
)
def test_the_ends_of_what_may_be_asked_for_are_answered(query: dict[str, object], admin: StaffMember) -> None:
    assert admin.get("/admin/audit", limit=1, **query).status_code == 200
