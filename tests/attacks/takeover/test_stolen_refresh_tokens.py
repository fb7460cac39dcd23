"""threats.md, section 1 E, "Tokens", rows 46 to 48: a refresh token is good once, and a stolen one is noticed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest

from devstack.mailbox import Mail
from tests.support.requests.burst import burst, outcomes
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.flows import outcome
from tests.support.users.people import Person, Tokens, Walker, new_person

INVALID = (401, "invalid_token")
NO_GRANT = (400, "invalid_grant")
WINDOW = timedelta(seconds=11)
"""Longer than a repeat is answered."""


@dataclass(frozen=True, slots=True)
class Family:
    """A session as PostgreSQL and its owner see it."""

    service: Service
    walk: Walker
    db: DatabaseInspector
    person: Person

    def log_in(self) -> Tokens:
        return self.walk.open_session(self.person)

    def refresh(self, token: str) -> Tokens:
        return Tokens.of(self.walk.refresh(token))

    def let_pass(self, span: timedelta) -> None:
        """Do to the sessions what that much time would have done."""
        moved = ", ".join(f"{moment} = {moment} - $1::interval" for moment in ("rotated_at", "created_at", "ends_at"))
        moved += (
            ", replaced_at = ARRAY(SELECT moment - $1::interval"
            " FROM unnest(replaced_at) WITH ORDINALITY AS u (moment, place) ORDER BY place)"
        )
        whose = "user_id = (SELECT id FROM users WHERE email = $2)"
        self.db.rows(f"UPDATE sessions SET {moved} WHERE {whose}", span, self.person.email)

    def living(self) -> int:
        query = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE email = $1 AND ends_at > now()"
        return int(self.db.value(query, self.person.email))

    def alarms(self) -> list[Mail]:
        self.db.wait_until_all_mail_has_left()
        return [mail for mail in self.walk.mailbox.mails(self.person.email) if "session" in mail.subject]


@pytest.fixture
def family(service: Service, walk: Walker, db: DatabaseInspector) -> Family:
    walk.register(person := new_person("heir"))
    return Family(service, walk, db, person)


def test_a_refresh_gives_a_new_pair_and_the_access_token_works(family: Family) -> None:
    first = family.log_in()
    second = family.refresh(first.refresh)
    assert len({first.access, first.refresh, second.access, second.refresh}) == 4
    assert family.walk.me(second.access).status_code == 200
    # The older access token belongs to the same session and lives on to its end.
    assert family.walk.me(first.access).status_code == 200
    answer = family.walk.refresh(second.refresh)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token"}


def test_row_46_a_used_token_ends_its_family_and_warns_the_owner_once(family: Family, service: Service) -> None:
    first = family.log_in()
    second = family.refresh(first.refresh)
    third = family.refresh(second.refresh)
    family.let_pass(WINDOW)
    assert outcome(family.walk.refresh(first.refresh)) == NO_GRANT
    assert outcome(family.walk.refresh(third.refresh)) == NO_GRANT
    assert [outcome(family.walk.me(tokens.access)) for tokens in (first, second, third)] == [INVALID] * 3
    # Again, and with the others: nothing is left to end, and nobody is warned twice.
    assert [outcome(family.walk.refresh(tokens.refresh)) for tokens in (first, second, third)] == [NO_GRANT] * 3
    assert family.living() == 0
    [alarm] = family.alarms()
    assert alarm.code is None
    assert service.log().count("a refresh token was used again") >= 1


def test_row_46_a_thief_who_comes_first_is_found_out_by_the_owner(family: Family) -> None:
    mine = family.log_in()
    thief = family.refresh(mine.refresh)
    family.let_pass(WINDOW)
    assert outcome(family.walk.refresh(mine.refresh)) == NO_GRANT
    assert outcome(family.walk.me(thief.access)) == INVALID
    assert outcome(family.walk.refresh(thief.refresh)) == NO_GRANT
    assert len(family.alarms()) == 1


def test_row_46_another_session_of_the_same_user_lives_on(family: Family) -> None:
    stolen, other = family.log_in(), family.log_in()
    family.refresh(stolen.refresh)
    family.let_pass(WINDOW)
    assert outcome(family.walk.refresh(stolen.refresh)) == NO_GRANT
    assert family.walk.me(other.access).status_code == 200
    assert family.walk.refresh(other.refresh).status_code == 200


def test_row_46_nobody_ends_a_session_with_a_token_that_he_made_up(family: Family) -> None:
    tokens = family.log_in()
    text = tokens.refresh
    # The session's id is told by every access token; what follows it is what a forger lacks.
    for forged in (text[:22] + "A" * 64, text[:-22] + "A" * 22, text[:22] + text[43:64] + text[22:43] + text[64:]):
        assert outcome(family.walk.refresh(forged)) == NO_GRANT
    assert family.walk.me(tokens.access).status_code == 200
    assert family.walk.refresh(tokens.refresh).status_code == 200
    assert family.alarms() == []


@pytest.mark.parametrize("rounds", [1, 3])
def test_row_47_twenty_parallel_refreshes_have_one_heir(family: Family, service: Service, rounds: int) -> None:
    token = family.log_in().refresh
    for _ in range(rounds):
        answers = burst(service, [("/token/refresh", {"refresh_token": token})] * 20)
        assert outcomes(answers) == {(200, ""): 20}
        [successor] = {answer.json["refresh_token"] for answer in answers}
        assert all(family.walk.me(answer.json["access_token"]).status_code == 200 for answer in answers[:3])
        assert family.living() == 1
        token = successor
    assert family.alarms() == []


def test_row_47_twenty_parallel_uses_of_a_used_token_end_the_family_once(family: Family, service: Service) -> None:
    first = family.log_in()
    successor = family.refresh(first.refresh)
    family.let_pass(WINDOW)
    answers = burst(service, [("/token/refresh", {"refresh_token": first.refresh})] * 20)
    assert outcomes(answers) == {NO_GRANT: 20}
    assert outcome(family.walk.refresh(successor.refresh)) == NO_GRANT
    assert outcome(family.walk.me(successor.access)) == INVALID
    assert len(family.alarms()) == 1


def test_a_lost_answer_costs_nobody_a_log_in(family: Family) -> None:
    first = family.log_in()
    lost = family.refresh(first.refresh)
    family.let_pass(timedelta(seconds=8))
    again = family.refresh(first.refresh)
    assert again.refresh == lost.refresh
    assert family.refresh(again.refresh).refresh != again.refresh
    assert family.living() == 1
    assert family.alarms() == []


def test_a_repeat_finds_the_newest_heir_though_another_tab_has_gone_on_already(family: Family) -> None:
    tokens = [family.log_in()]
    for _ in range(4):
        tokens.append(family.refresh(tokens[-1].refresh))
    newest = tokens[-1].refresh
    assert {family.refresh(older.refresh).refresh for older in tokens[:-1]} == {newest}
    assert family.living() == 1
    # Each of them for ten seconds from its own replacement.
    family.let_pass(timedelta(seconds=7))
    last = family.refresh(newest)
    assert family.refresh(tokens[0].refresh).refresh == last.refresh
    family.let_pass(timedelta(seconds=4))
    assert family.refresh(newest).refresh == last.refresh
    assert outcome(family.walk.refresh(tokens[0].refresh)) == NO_GRANT
    assert family.living() == 0
    assert len(family.alarms()) == 1


def test_tabs_that_refresh_at_each_refusal_damage_nothing(family: Family, *, full_counts: bool) -> None:
    """Eight tabs start with one token, and whoever is answered goes on with the heir at once."""
    for _ in range(20 if full_counts else 3):
        first = family.log_in().refresh

        def tab(first: str = first) -> str:
            with family.service.client() as client:
                walk, token = Walker(client, family.walk.mailbox), first
                for _ in range(3):
                    token = Tokens.of(walk.refresh(token)).refresh
                return token

        with ThreadPoolExecutor(8) as tabs:
            ends = [future.result() for future in [tabs.submit(tab) for _ in range(8)]]
        # Whichever a tab has ended with, it goes on.
        assert all(family.refresh(end) for end in ends)
    assert family.alarms() == []


def test_a_refresh_that_is_refused_for_a_block_uses_nothing_up(family: Family) -> None:
    tokens = family.log_in()
    block = "UPDATE users SET blocked_at = {} WHERE email = $1"
    family.db.rows(block.format("now()"), family.person.email)
    for _ in range(2):
        assert outcome(family.walk.refresh(tokens.refresh)) == NO_GRANT
        family.let_pass(WINDOW)
    family.db.rows(block.format("NULL"), family.person.email)
    assert family.walk.refresh(tokens.refresh).status_code == 200
    assert family.alarms() == []


def test_row_48_a_new_password_ends_every_session_the_moment_it_is_answered(family: Family) -> None:
    phone, laptop = family.log_in(), family.log_in()
    # Both are in the cache, so that only what the change does there can refuse them.
    assert [family.walk.me(tokens.access).status_code for tokens in (phone, laptop)] == [200, 200]
    renewed = family.walk.recover(family.person, "another horse, another battery")
    refused = [outcome(family.walk.me(tokens.access)) for tokens in (phone, laptop)]
    refused += [outcome(family.walk.refresh(tokens.refresh)) for tokens in (phone, laptop)]
    assert refused == [INVALID, INVALID, NO_GRANT, NO_GRANT]
    assert family.living() == 0
    # The one who knows the new password has a session of its own.
    assert family.walk.me(family.walk.log_in(renewed)).status_code == 200


def test_row_48_a_log_in_that_was_under_way_does_not_outlive_the_change(family: Family) -> None:
    key, code = family.walk.open_login(family.person)
    family.walk.recover(family.person, "another horse, another battery")
    assert outcome(family.walk.confirm("login", key, code)) == (410, "flow_gone")
    assert family.living() == 0


@pytest.mark.parametrize(
    ("span", "good"), [(timedelta(days=13), True), (timedelta(days=15), False)], ids=["13 days idle", "15 days idle"]
)
def test_a_session_ends_when_it_is_idle_for_a_fortnight(family: Family, span: timedelta, *, good: bool) -> None:
    tokens = family.log_in()
    family.let_pass(span)
    assert outcome(family.walk.refresh(tokens.refresh)) == ((200, "") if good else NO_GRANT)
    assert family.living() == good
    # Time is no theft.
    assert family.alarms() == []


def test_a_session_ends_after_thirty_days_however_often_it_is_refreshed(family: Family) -> None:
    tokens = family.log_in()
    for _ in range(4):
        family.let_pass(timedelta(days=7))
        tokens = family.refresh(tokens.refresh)
    family.let_pass(timedelta(days=1, hours=23, minutes=59))
    answer = family.walk.refresh(tokens.refresh)
    # No access token outlives its session.
    assert 0 < answer.json()["expires_in"] <= 60
    family.let_pass(timedelta(minutes=2))
    assert outcome(family.walk.refresh(Tokens.of(answer).refresh)) == NO_GRANT


def test_a_refresh_reads_the_user_again(family: Family) -> None:
    tokens = family.log_in()
    family.db.rows("UPDATE users SET blocked_at = now() WHERE email = $1", family.person.email)
    assert outcome(family.walk.refresh(tokens.refresh)) == NO_GRANT


@pytest.mark.parametrize("odd", ["A", "A" * 86, "A" * 200, "a.b.c", "{}", "é" * 86, "-" * 86, "=" * 86])
def test_what_is_no_token_of_ours_is_no_grant(odd: str, walk: Walker) -> None:
    assert outcome(walk.refresh(odd)) == NO_GRANT
