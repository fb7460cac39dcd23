"""The first administrator is made on the command line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from commands.cli import cli
from tests.support.service.commands import Terminal, run
from tests.support.service.process import Service
from tests.support.state.database_inspector import inspect_database
from tests.support.users.people import Person, Walker, new_person

PASSWORD = "a long enough password"


def create(person: Person) -> tuple[str, ...]:
    return ("create-admin", "--email", person.email, "--login", person.login)


def roles(walk: Walker, token: str) -> list[str]:
    answer = walk.me(token)
    assert answer.status_code == 200
    found: list[str] = answer.json()["roles"]
    return found


def test_an_administrator_with_a_made_up_password_logs_in_and_may_do_everything(
    service: Service, walk: Walker, bob: Person
) -> None:
    done = run(service, *create(bob), "--generate")
    assert done.returncode == 0, done.stderr
    said = dict(line.split() for line in done.stdout.splitlines())
    assert said["login"] == bob.login
    assert len(said["password"]) == 24
    assert said["password"] not in done.stderr
    token = walk.log_in(bob.with_password(said["password"]))
    assert roles(walk, token) == ["admin", "user"]
    assert "role:write" in walk.me(token).json()["permissions"]
    # From now on there is one, and who asks only for that gets nothing.
    other = new_person("second")
    done = run(service, *create(other), "--if-none", "--generate")
    assert (done.returncode, done.stdout) == (0, "")
    assert "There is an administrator already." in done.stderr
    assert walk.post("/login", login=other.login, password=PASSWORD).status_code == 401


def test_an_account_that_is_there_is_promoted_at_once_and_keeps_its_password(
    service: Service, walk: Walker, alice: Person
) -> None:
    token = walk.log_in(alice)
    assert roles(walk, token) == ["user"]
    refused = run(service, "create-admin", "--email", alice.email)
    assert refused.returncode == 1
    assert "The address has an account." in refused.stderr
    assert roles(walk, token) == ["user"]
    done = run(service, "create-admin", "--email", alice.email.upper(), "--yes", "--generate")
    assert (done.returncode, done.stdout) == (0, "")
    assert "with the password of the account" in done.stderr
    assert roles(walk, token) == ["admin", "user"]
    assert roles(walk, walk.log_in(alice)) == ["admin", "user"]


def test_a_password_comes_from_a_pipe(service: Service, walk: Walker, bob: Person) -> None:
    done = run(service, *create(bob), "--password-stdin", stdin=f"{PASSWORD}\r\nmore\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert roles(walk, walk.log_in(bob.with_password(PASSWORD))) == ["admin", "user"]


def test_at_a_terminal_the_password_is_asked_for_twice_and_again_when_it_is_no_good(
    service: Service, walk: Walker, bob: Person
) -> None:
    terminal = Terminal(service, *create(bob))
    terminal.read_until("Password: ")
    terminal.type("short")
    terminal.read_until("The password must have 8 to 128 characters.\r\nPassword: ")
    terminal.type(PASSWORD)
    terminal.read_until("Repeat for confirmation: ")
    terminal.type(PASSWORD)
    assert terminal.end() == 0, terminal.seen
    assert PASSWORD not in terminal.seen
    assert roles(walk, walk.log_in(bob.with_password(PASSWORD))) == ["admin", "user"]


def test_ctrl_c_at_the_question_makes_nobody(service: Service, walk: Walker, bob: Person) -> None:
    terminal = Terminal(service, *create(bob))
    terminal.read_until("Password: ")
    terminal.type("\x03")
    assert terminal.end() == 1
    assert "Traceback" not in terminal.seen
    assert walk.post("/login", login=bob.login, password=PASSWORD).status_code == 401


@pytest.mark.parametrize(
    ("words", "stdin", "why"),
    [
        (("--email", "canary", "--login", "bob"), "", "must be one e-mail address"),
        (("--email", "new@example.com", "--login", "ca nary"), "", "must be 3 to 32"),
        (("--email", "new@example.com"), "", "--login is needed"),
        (("--email", "new@example.com", "--login", "bob"), "", "use --password-stdin or --generate"),
        (("--email", "new@example.com", "--login", "new", "--password-stdin"), "canary", "must have 8 to 128"),
        (("--email", "canary-x@example.com", "--login", "bob", "--password-stdin"), "canary-x1", "little more than"),
        (("--email", "new@example.com", "--login", "bob", "--password-stdin"), "password1", "one of the most common"),
        (("--email", "new@example.com", "--login", "bob", "--password-stdin", "--generate"), "", "exclude each other"),
    ],
)
def test_what_a_registration_would_refuse_is_refused_in_a_sentence(
    words: tuple[str, ...], stdin: str, why: str, service: Service
) -> None:
    # In this process, for it is many times the same: a start of Python takes a second.
    done = CliRunner().invoke(cli, ["create-admin", *words], input=stdin, env=service.environment)
    assert done.exit_code in (1, 2)
    assert isinstance(done.exception, SystemExit)
    assert why in done.stderr
    assert "canary" not in done.output


def test_a_taken_login_is_told(service: Service, alice: Person, bob: Person) -> None:
    done = run(service, "create-admin", "--email", bob.email, "--login", alice.login.upper(), "--generate")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The login belongs to another account." in done.stderr


def test_without_valkey_nobody_is_promoted(service: Service, walk: Walker, alice: Person) -> None:
    done = run(service, "create-admin", "--email", alice.email, "--yes", REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 1
    assert "Valkey at REDIS_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert roles(walk, walk.log_in(alice)) == ["user"]


def test_whoever_is_blocked_or_has_no_password_is_told_of(service: Service, walk: Walker, alice: Person) -> None:
    with inspect_database(service) as db:
        db.rows("UPDATE users SET blocked_at = now() WHERE email = $1", alice.email)
        done = run(service, "create-admin", "--email", alice.email, "--yes")
        assert done.returncode == 1
        assert "is blocked" in done.stderr
        db.rows("UPDATE users SET blocked_at = NULL, password_hash = '!x' WHERE email = $1", alice.email)
        for _ in range(2):
            done = run(service, "create-admin", "--email", alice.email, "--yes")
            assert "and has to choose a password at /recover" in done.stderr
        query = (
            "SELECT count(*) FROM audit_log JOIN users ON subject = users.id WHERE event = 'role.given' AND email = $1"
        )
        assert db.value(query, alice.email) == 1
