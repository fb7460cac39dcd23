"""/admin/users: found, invited, blocked, deleted and signed out, by those who may and to those who may not do more."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest

from tests.support.requests.burst import burst_of
from tests.support.service.process import Service
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.people import Walker, new_person
from tests.support.users.staff import Staff, StaffMember
from tests.support.users.user_factory import create_users

INVALID = (401, "invalid_token")
FORBIDDEN = (403, "insufficient_scope")
LAST = (409, "last_administrator")
NO_USER = (404, "user_not_found")
NO_SESSION = (404, "session_not_found")
NOBODYS = uuid.UUID(int=7)


def found(admin: StaffMember, **query: object) -> list[dict[str, Any]]:
    """Everybody who fits, page by page."""
    people: list[dict[str, Any]] = []
    while True:
        answer = admin.get("/admin/users", **query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page.keys() == {"items", "next"}
        people += page["items"]
        if page["next"] is None:
            return people
        query["cursor"] = page["next"]


def logins(people: list[dict[str, Any]]) -> set[str]:
    return {user["login"] for user in people}


def shown(admin: StaffMember, user_id: object) -> dict[str, Any]:
    answer = admin.get(f"/admin/users/{user_id}")
    assert answer.status_code == 200, answer.text
    user: dict[str, Any] = answer.json()
    return user


def events(staff: Staff, user_id: uuid.UUID) -> list[tuple[str, uuid.UUID | None]]:
    """What the audit log says of a user: events, and who did it."""
    rows = staff.db.rows("SELECT event, actor FROM audit_log WHERE subject = $1 ORDER BY id", user_id)
    return [(row["event"], row["actor"]) for row in rows]


# Found.


def test_users_are_found_by_how_login_or_address_begins(staff: Staff, admin: StaffMember) -> None:
    people = create_users(staff.db, 3, "searched")
    everybody = {person.login for person in people}
    for typed in ("searched-", "SEARCHED-", "Searched"):
        assert logins(found(admin, q=typed)) == everybody
    one = people[0]
    for whole in (one.login, one.email, one.email.upper(), one.email[:-5]):
        assert one.login in logins(found(admin, q=whole))
    assert logins(found(admin, q=one.email)) == {one.login}
    assert found(admin, q="earched-") == found(admin, q="nobody at all") == []


def test_the_signs_of_a_pattern_are_letters_like_any_other(staff: Staff, admin: StaffMember) -> None:
    create_users(staff.db, 2, "per_cent")
    create_users(staff.db, 1, "perxcent")
    assert len(found(admin, q="per_cent")) == 2
    for pattern in ("%", "_", "per%", "%cent", "\\", "per\\_cent", "per_cent%", "'; --", "per*"):
        assert found(admin, q=pattern) == []


def test_an_international_address_is_found_as_it_is_typed(admin: StaffMember) -> None:
    address = f"{new_person('intl').login}@bücher.example.com"
    assert admin.post("/admin/users", email=address, login=new_person("intl").login).status_code == 201
    assert [user["email"] for user in found(admin, q=address.upper())] == [address.replace("bücher", "xn--bcher-kva")]


def test_a_user_is_found_by_the_whole_id(staff: Staff, admin: StaffMember) -> None:
    member = staff.appoint()
    for typed in (str(member.id), str(member.id).upper(), member.id.hex):
        assert logins(found(admin, q=typed)) == {member.person.login}
    assert found(admin, q=str(member.id)[:-1]) == []


def test_users_are_found_by_role_and_by_block(staff: Staff, admin: StaffMember) -> None:
    assistant, plain = staff.with_permissions("user:read"), staff.appoint(name="assistant")
    [role] = [role for role in shown(admin, assistant.id)["roles"] if role != "user"]
    assert logins(found(admin, role=role)) == {assistant.person.login}
    assert found(admin, role="no-such-role") == []
    assert admin.post(f"/admin/users/{plain.id}/block").status_code == 204
    assert plain.person.login in logins(found(admin, q="assistant-", blocked="true"))
    assert assistant.person.login not in logins(found(admin, q="assistant-", blocked="true"))
    assert plain.person.login not in logins(found(admin, q="assistant-", blocked="false"))
    assert assistant.person.login in logins(found(admin, q="assistant-", blocked="false", role=role))


def test_pages_show_everybody_once_also_while_others_come_and_go(staff: Staff, admin: StaffMember) -> None:
    people = create_users(staff.db, 11, "paged")
    first = admin.get("/admin/users", q="paged-", limit=4).json()
    assert len(first["items"]) == 4
    late = create_users(staff.db, 3, "paged")
    staff.db.rows("DELETE FROM users WHERE id = $1", uuid.UUID(first["items"][1]["id"]))
    rest = found(admin, q="paged-", limit=4, cursor=first["next"])
    ids = [user["id"] for user in [*first["items"], *rest]]
    assert ids == sorted(set(ids), reverse=True)
    assert {person.login for person in people} <= logins([*first["items"], *rest])
    assert logins([*first["items"], *rest]) <= {person.login for person in [*people, *late]}


def test_a_page_that_is_just_full_is_the_last_one(staff: Staff, admin: StaffMember) -> None:
    create_users(staff.db, 4, "full")
    assert admin.get("/admin/users", q="full-", limit=4).json()["next"] is None
    assert admin.get("/admin/users", q="full-", limit=3).json()["next"] is not None


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "canary"},
        {"limit": "9" * 5_000},
        {"limit": ""},
        {"blocked": "canary"},
        {"q": ""},
        {"q": "canary\0"},
        {"q": "x" * 255},
        {"q": "canary\u0007"},
        {"role": "canary\n"},
        {"cursor": "canary"},
        {"cursor": ""},
        {"cursor": "A" * 11},
        {"cursor": "A" * 21 + "B"},
        {"cursor": "A" * 22 + "=="},
        {"cursor": "é" * 22},
        {"cursor": base64.urlsafe_b64encode(b"canary' OR 1=1 --").decode()},
        {"canary": "1"},
        {"offset": 5},
    ],
    ids=str,
)
def test_a_query_that_does_not_fit_is_refused_without_an_echo(query: dict[str, object], admin: StaffMember) -> None:
    answer = admin.get("/admin/users", **query)
    assert outcome(answer) == MALFORMED
    assert "canary" not in answer.text
    [problem] = answer.json()["errors"]
    assert problem["field"] in (f"query.{next(iter(query))}", "(unknown field)")


def test_a_cursor_that_somebody_made_up_is_only_a_place(admin: StaffMember) -> None:
    assert admin.get("/admin/users", cursor="A" * 22).json() == {"items": [], "next": None}


def test_a_user_is_shown_without_what_nobody_may_see(staff: Staff, admin: StaffMember) -> None:
    member = staff.appoint()
    user = shown(admin, member.id)
    assert user == {
        "id": str(member.id),
        "email": member.person.email,
        "login": member.person.login,
        "locale": "en",
        "roles": ["user"],
        "permissions": ["account:read", "account:write"],
        "created_at": user["created_at"],
        "blocked_at": None,
        "has_password": True,
    }
    assert user in found(admin, q=member.person.login)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/users/{}"),
        ("DELETE", "/admin/users/{}"),
        ("POST", "/admin/users/{}/block"),
        ("POST", "/admin/users/{}/unblock"),
        ("GET", "/admin/users/{}/sessions"),
        ("DELETE", "/admin/users/{}/sessions"),
        ("DELETE", f"/admin/users/{{}}/sessions/{NOBODYS}"),
    ],
)
def test_who_is_not_there_is_not_found_and_who_is_no_id_is_refused(method: str, path: str, admin: StaffMember) -> None:
    assert outcome(admin.call(method, path.format(NOBODYS))) == NO_USER
    odd = admin.call(method, path.format("canary"))
    assert outcome(odd) == MALFORMED
    assert "canary" not in odd.text


# Invited.


@pytest.mark.parametrize(("locale", "subject"), [("en", "You have an account"), ("ru", "Для вас создана")])
def test_who_is_invited_chooses_a_password_by_recovering_it(
    locale: str, subject: str, staff: Staff, admin: StaffMember, walk: Walker
) -> None:
    guest = new_person("guest")
    answer = admin.post("/admin/users", email=guest.email, login=guest.login, locale=locale)
    assert answer.status_code == 201, answer.text
    user = answer.json()
    assert (user["roles"], user["has_password"], user["locale"]) == (["user"], False, locale)
    mail = walk.mailbox.wait_for(guest.email)
    assert subject in mail.subject
    assert guest.login in mail.text
    # Nothing travels that opens anything.
    assert mail.code is None
    assert "http" not in mail.text + mail.html
    # There is no password yet, not even the text that stands in its place.
    stored = staff.db.value("SELECT password_hash FROM users WHERE email = $1", guest.email)
    for guess in (stored, guest.password, "!!!!!!!!"):
        assert outcome(walk.post("/login", login=guest.login, password=guess)) == (401, "bad_credentials")
    guest = walk.recover(guest, "an owl in the barn")
    assert walk.me(walk.log_in(guest)).json()["id"] == user["id"]
    assert shown(admin, user["id"])["has_password"]
    assert events(staff, uuid.UUID(user["id"]))[0] == ("user.invited", admin.id)
    line = staff.db.value("SELECT details::text FROM audit_log WHERE event = 'user.invited' ORDER BY id DESC")
    assert guest.login not in line
    assert guest.email not in line


def test_the_language_of_an_invitation_is_the_header_s_when_the_body_names_none(admin: StaffMember) -> None:
    guest = new_person("guest")
    body = {"email": guest.email, "login": guest.login}
    answer = admin.client.post("/admin/users", json=body, headers=admin.bearer | {"Accept-Language": "ru"})
    assert answer.json()["locale"] == "ru"


def test_what_is_taken_is_told_to_who_may_see_all_users(staff: Staff, admin: StaffMember) -> None:
    member, other = staff.appoint(), new_person("other")
    same_email = admin.post("/admin/users", email=member.person.email.upper(), login=other.login)
    assert outcome(same_email) == (409, "email_taken")
    same_login = admin.post("/admin/users", email=other.email, login=member.person.login.upper())
    assert outcome(same_login) == (409, "login_taken")
    assert found(admin, q=other.login) == []


# Blocked.


def test_a_block_ends_everything_and_lifting_it_revives_nothing(staff: Staff, admin: StaffMember, walk: Walker) -> None:
    walk.register(person := new_person("blocked"))
    tokens, running = walk.open_session(person), walk.open_login(person)
    user_id = walk.me(tokens.access).json()["id"]
    assert admin.post(f"/admin/users/{user_id}/block").status_code == 204
    assert shown(admin, user_id)["blocked_at"] is not None
    assert outcome(walk.me(tokens.access)) == INVALID
    assert outcome(walk.refresh(tokens.refresh)) == (400, "invalid_grant")
    # A log-in that had begun before is over; one that begins now is told, once password and code were right.
    assert outcome(walk.confirm("login", *running)) == (410, "flow_gone")
    assert outcome(walk.confirm("login", *walk.open_login(person))) == (403, "account_blocked")
    assert admin.post(f"/admin/users/{user_id}/unblock").status_code == 204
    assert shown(admin, user_id)["blocked_at"] is None
    assert outcome(walk.me(tokens.access)) == INVALID
    assert outcome(walk.refresh(tokens.refresh)) == (400, "invalid_grant")
    assert walk.me(walk.log_in(person)).status_code == 200


def test_who_is_blocked_twice_is_told_once(staff: Staff, admin: StaffMember, walk: Walker) -> None:
    member = staff.appoint()
    for call in ("block", "unblock"):
        for _ in range(2):
            assert admin.post(f"/admin/users/{member.id}/{call}").status_code == 204
    staff.db.wait_until_all_mail_has_left()
    subjects = sorted(mail.subject for mail in walk.mailbox.mails(member.person.email))
    assert [subject.partition(" at ")[2].split(" ", 1)[1] for subject in subjects] == [
        "is no longer blocked",
        "was blocked",
    ]
    assert events(staff, member.id) == [("user.blocked", admin.id), ("user.unblocked", admin.id)]


# Deleted.


def test_who_is_deleted_is_forgotten_and_the_names_are_free_again(
    staff: Staff, admin: StaffMember, walk: Walker
) -> None:
    member = staff.appoint(name="gone")
    staff.db.rows(
        "INSERT INTO guess_budgets (subject, purpose, device, digits, guesses) VALUES ($1, 'login', '', 4, 1)",
        member.id.bytes,
    )
    staff.db.rows(
        "INSERT INTO guess_reservations VALUES ('\\x00', $1, 'login', '', 4, 3, now() + interval '1 h')",
        member.id.bytes,
    )
    job = staff.db.value(
        "INSERT INTO outbox (kind, payload, due_at, give_up_at) VALUES ('password_changed', "
        "jsonb_build_object('user_id', $1::text), now() + interval '1 h', now() + interval '1 h') RETURNING id",
        str(member.id),
    )
    assert admin.delete(f"/admin/users/{member.id}").status_code == 204
    assert outcome(walk.me(member.tokens.access)) == INVALID
    assert outcome(admin.delete(f"/admin/users/{member.id}")) == NO_USER
    for table in ("guess_budgets", "guess_reservations"):
        assert staff.db.value(f"SELECT count(*) FROM {table} WHERE subject = $1", member.id.bytes) == 0
    for table in ("sessions", "user_roles"):
        assert staff.db.value(f"SELECT count(*) FROM {table} WHERE user_id = $1", member.id) == 0
    assert staff.db.value("SELECT count(*) FROM outbox WHERE id = $1", job) == 0
    assert events(staff, member.id) == [("account.deleted", admin.id)]
    assert walk.register(member.person)["id"] != str(member.id)


# Signed out.


def test_the_sessions_of_a_user_are_seen_and_ended_one_by_one_or_all(
    staff: Staff, admin: StaffMember, walk: Walker
) -> None:
    member = staff.appoint()
    others = [staff.session_of(member) for _ in range(3)]
    listed = admin.get(f"/admin/users/{member.id}/sessions").json()
    assert len(listed) == 4
    assert {frozenset(entry) for entry in listed} == {
        frozenset(("id", "user_agent", "created_at", "last_used_at", "expires_at"))
    }
    own = member.get("/me/sessions").json()
    [session_id] = [entry["id"] for entry in own if entry["current"]]
    assert admin.delete(f"/admin/users/{member.id}/sessions/{session_id}").status_code == 204
    assert outcome(walk.me(member.tokens.access)) == INVALID
    assert {walk.me(other.access).status_code for other in others} == {200}
    assert outcome(admin.delete(f"/admin/users/{member.id}/sessions/{session_id}")) == NO_SESSION
    assert admin.delete(f"/admin/users/{member.id}/sessions").status_code == 204
    assert {outcome(walk.me(other.access)) for other in others} == {INVALID}
    assert admin.get(f"/admin/users/{member.id}/sessions").json() == []
    assert events(staff, member.id) == [("session.ended", admin.id), ("sessions.ended", admin.id)]


def test_a_session_is_ended_under_the_name_of_its_owner_alone(staff: Staff, admin: StaffMember) -> None:
    member, other = staff.appoint(), staff.appoint()
    [entry] = other.get("/me/sessions").json()
    assert outcome(admin.delete(f"/admin/users/{member.id}/sessions/{entry['id']}")) == NO_SESSION
    assert outcome(admin.delete(f"/admin/users/{member.id}/sessions/canary")) == MALFORMED
    assert other.get("/me").status_code == 200


# Nobody acts on somebody who may do more, and one administrator remains.

ACTS = [
    ("POST", "/admin/users/{}/block"),
    ("POST", "/admin/users/{}/unblock"),
    ("DELETE", "/admin/users/{}/sessions"),
    ("DELETE", f"/admin/users/{{}}/sessions/{NOBODYS}"),
    ("DELETE", "/admin/users/{}"),
]
CLERK = ("user:read", "user:write", "session:write")


@pytest.mark.parametrize(("method", "path"), ACTS)
def test_nobody_acts_on_somebody_who_may_do_more(method: str, path: str, staff: Staff, admin: StaffMember) -> None:
    assistant = staff.with_permissions(*CLERK)
    for mightier in (admin, staff.with_permissions(*CLERK, "mail:read"), staff.with_permissions("role:read")):
        answer = assistant.call(method, path.format(mightier.id))
        assert outcome(answer) == FORBIDDEN
        assert "a permission that you lack" in answer.json()["detail"]
        assert mightier.get("/me").status_code == 200
        assert events(staff, mightier.id) == []
    for equal in (staff.with_permissions(*CLERK), staff.with_permissions(CLERK[0]), staff.appoint(), assistant):
        answer = assistant.call(method, path.format(equal.id))
        assert answer.status_code == 204 or outcome(answer) == NO_SESSION


def test_who_is_refused_costs_the_user_no_place_in_the_cache(staff: Staff, admin: StaffMember) -> None:
    assistant, name = staff.with_permissions(*CLERK), f"user:{{{admin.id}}}"
    assert admin.get("/me").status_code == 200
    assert outcome(assistant.post(f"/admin/users/{admin.id}/block")) == FORBIDDEN
    assert not staff.db.valkey.exists(name)
    assert admin.get("/me").status_code == 200
    assert admin.person.email in str(staff.db.valkey.get(name))


def test_the_last_administrator_is_neither_blocked_nor_deleted(staff: Staff) -> None:
    staff.remove_admins()
    one, other = staff.admin(), staff.admin()
    assert one.post(f"/admin/users/{one.id}/block").status_code == 204
    for method, path in (("POST", "/admin/users/{}/block"), ("DELETE", "/admin/users/{}")):
        answer = other.call(method, path.format(other.id))
        assert outcome(answer) == LAST
        assert answer.json()["detail"]
    assert other.get("/me").status_code == 200
    assert other.post(f"/admin/users/{one.id}/unblock").status_code == 204
    # With another one beside, an administrator may go.
    assert other.delete(f"/admin/users/{other.id}").status_code == 204
    assert outcome(other.get("/me")) == INVALID


def test_of_two_administrators_who_turn_on_each_other_one_remains(
    service: Service, staff: Staff, *, full_counts: bool
) -> None:
    acts = [
        ("POST", "/admin/users/{}/block"),
        ("DELETE", "/admin/users/{}"),
        ("DELETE", "/admin/users/{}/roles/admin"),
    ]
    both_came_in = 0
    for number in range(100 if full_counts else 27):
        staff.remove_admins()
        one, other = staff.admin(), staff.admin()
        # In the caches, so that both are let in at the same moment.
        assert [who.get("/me").status_code for who in (one, other)] == [200, 200]
        (method, path), (his_method, his_path) = acts[number % 3], acts[number // 3 % 3]
        answers = burst_of(
            service, [one.request(method, path.format(other.id)), other.request(his_method, his_path.format(one.id))]
        )
        found = sorted(answer.outcome for answer in answers)
        # The slower one is told that nobody would be left, or that he is none any more; or is out already.
        assert found[0] == (204, ""), found
        assert found[1] in (LAST, FORBIDDEN, INVALID), found
        both_came_in += found[1] in (LAST, FORBIDDEN)
        left = staff.db.value(
            "SELECT count(*) FROM user_roles JOIN users ON id = user_id WHERE role = 'admin' AND blocked_at IS NULL"
        )
        assert left == 1
    # Else the race was never run.
    assert both_came_in > 2
