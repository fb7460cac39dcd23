"""Users move in from a file: quickly, once each, and whatever happens on the way."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.admin.user_import import ImportLine, ImportStats, UserImport
from tests.support.service.commands import Terminal, run, running
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.people import Walker, new_person
from tests.support.values.imported_hashes import each_form

HASH = "pbkdf2_sha256$1000$saltsaltsaltsaltsalt12$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

Line_ = dict[str, Any]


def line(name: str, **more: Any) -> Line_:
    return {"email": f"{name}@example.com", "login": name, "password_hash": HASH, **more}


def ndjson(*lines: Line_ | bytes) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines)


@pytest.fixture
def empty_db(unstarted: Service) -> Iterator[DatabaseInspector]:
    with inspect_database(unstarted) as looking:
        yield looking


def count(empty_db: DatabaseInspector) -> int:
    number: int = empty_db.value("SELECT count(*) FROM users")
    return number


# What moves in.


def test_each_form_of_hash_logs_in_and_becomes_ours(service: Service, walk: Walker) -> None:
    forms = each_form("correct horse battery staple")
    people = {form: new_person("moved").with_password("correct horse battery staple") for form in forms}
    lines = [
        {"email": person.email, "login": person.login, "password_hash": forms[form]} for form, person in people.items()
    ]
    done = run(service, "import-users", "-", stdin=ndjson(*lines))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    with inspect_database(service) as db:
        for form, person in people.items():
            assert walk.post("/login", login=person.login, password="wrong horse battery").status_code == 401, form
            token = walk.log_in(person)
            [row] = db.rows("SELECT password_hash FROM users WHERE email = $1", person.email)
            assert row["password_hash"].startswith("pbkdf2_sha256$1000$"), form
            assert row["password_hash"] != forms[form], form
            assert walk.me(token).json()["roles"] == ["user"]
            assert walk.log_in(person)


def test_everything_that_a_line_may_say_is_kept(unstarted: Service, empty_db: DatabaseInspector) -> None:
    full = {
        **line("Alice.L"),
        "email": "Alice@BÜCHER.example",
        "locale": "ru",
        "roles": ["admin", "user", "admin"],
        "blocked": True,
        "created_at": "2019-03-01T12:30:00.123456+03:00",
        "id": "019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39",
    }
    done = run(
        unstarted, "import-users", "-", stdin=ndjson(full, b"  ", line("bob", roles=[], password_hash=None), b"")
    )
    assert done.returncode == 0, done.stderr
    assert "Done. 2 imported, 0 already there, 0 refused." in done.stderr
    alice, bob = empty_db.rows(
        "SELECT users.*, ARRAY(SELECT role FROM user_roles WHERE user_id = users.id ORDER BY role) AS roles "
        "FROM users ORDER BY created_at"
    )
    assert (str(alice["id"]), alice["email"]) == (full["id"], "alice@xn--bcher-kva.example")
    assert (alice["login"], alice["login_canonical"]) == ("Alice.L", "alice.l")
    assert (alice["password_hash"], alice["locale"], alice["roles"]) == (HASH, "ru", ["admin", "user"])
    assert alice["created_at"].isoformat() == "2019-03-01T09:30:00.123456+00:00"
    assert alice["blocked_at"] is not None
    assert (bob["roles"], bob["blocked_at"], bob["id"].version) == ([], None, 7)
    assert bob["password_hash"].startswith("!")
    assert bob["version"] == 1


def test_who_has_no_password_sets_one_by_recovery(service: Service, walk: Walker) -> None:
    person = new_person("django").with_password("!unusable-as-django-does")
    importer = {"email": person.email, "login": person.login, "password_hash": person.password}
    assert run(service, "import-users", "-", stdin=ndjson(importer)).returncode == 0
    assert walk.post("/login", login=person.login, password=person.password).status_code == 401
    assert walk.log_in(walk.recover(person, "a password of his own"))


# What does not.

REFUSED: dict[str, tuple[bytes, str]] = {
    "no json": (b"canary", "must be one JSON object in UTF-8"),
    "an array": (b'["canary"]', "must be one JSON object in UTF-8"),
    "nan": (b'{"email": NaN, "canary": 1}', "must be one JSON object in UTF-8"),
    "twins": (b'{"email": "canary@example.com", "email": "canary@example.com"}', "without duplicate names"),
    "no utf-8": (b'{"email": "canary\xff"}', "must be one JSON object in UTF-8"),
    "depth": (b"[" * 60_000, "must be one JSON object in UTF-8"),
    "length": (b'{"email": "' + b"canary" * 11_000 + b'"}', "is longer than 64 kB"),
    "no login": (b'{"email": "canary@example.com"}', "login: is required"),
    "address": (ndjson({**line("odd1"), "email": "canary"})[:-1], "email: must be one e-mail address"),
    "login": (ndjson({**line("odd2"), "login": "ca nary"})[:-1], "login: must be 3 to 32"),
    "field": (
        ndjson(line("odd3", canary=1))[:-1],
        "(unknown field): is not a field of a user; the fields are email, login",
    ),
    "hash": (ndjson(line("odd4", password_hash="canary"))[:-1], "password_hash: is of no form"),
    "cost": (ndjson(line("odd5", password_hash=HASH.replace("1000", "90000000")))[:-1], "password_hash: has no iterat"),
    "nul": (ndjson(line("odd6", password_hash="!canary\0"))[:-1], "password_hash: must not contain control"),
    "long hash": (ndjson(line("odd7", password_hash="!" + "canary" * 100))[:-1], "password_hash: is too long"),
    "role": (ndjson(line("odd8", roles=["canary"]))[:-1], "roles: must be names of existing roles"),
    "roles": (ndjson(line("odd9", roles="canary"))[:-1], "roles: Input should be a valid list"),
    "blocked": (ndjson(line("odd10", blocked="canary"))[:-1], "blocked: Input should be a valid boolean"),
    "locale": (ndjson(line("odd11", locale="canary"))[:-1], "locale: Input should be 'en'"),
    "no zone": (
        ndjson(line("odd12", created_at="2019-03-01T12:30:00"))[:-1],
        "created_at: must be a time with its zone",
    ),
    "number": (ndjson(line("odd13", created_at=1551443400))[:-1], "created_at: must be a time with its zone"),
    "before": (ndjson(line("odd14", created_at="0001-01-01T00:00:00+14:00"))[:-1], "created_at: must be a time"),
    "id": (ndjson(line("odd15", id="canary"))[:-1], "id: must be an id, such as"),
    "nobody": (ndjson(line("odd16", id="0" * 32))[:-1], "id: must be an id, such as"),
    "surrogate": (
        ndjson(line("odd17", login="\ud800canary"))[:-1],
        "login: must not contain control characters or lone",
    ),
}


def test_bad_lines_are_reported_by_number_without_their_content(
    unstarted: Service, empty_db: DatabaseInspector
) -> None:
    good = [
        line("first", created_at="0001-01-01T00:00:00Z"),
        line("last", created_at="9999-12-31T23:59:59Z", password_hash="!" + "x" * 511),
    ]
    bad = [text for text, _ in REFUSED.values()]
    done = run(unstarted, "import-users", "-", stdin=ndjson(good[0], *bad) + ndjson(good[1])[:-1])
    assert done.returncode == 1
    told = done.stderr.splitlines()
    for number, (kind, (_, why)) in enumerate(REFUSED.items(), 2):
        [sentence] = [text for text in told if text.startswith(f"line {number}: ")]
        assert why in sentence, kind
    assert told[-1] == f"Done. 2 imported, 0 already there, {len(REFUSED)} refused."
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr
    assert count(empty_db) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([HASH, "!x", "en", "user"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("email", "login", "password_hash", "locale", "roles", "blocked", "created_at", "id")
ANY_LINE = st.one_of(
    st.binary(max_size=200),
    st.text().map(lambda text: text.encode(errors="surrogatepass")),
    st.dictionaries(st.sampled_from([*FIELDS, "other"]), JSON).map(
        lambda changed: json.dumps(line("somebody") | changed).encode()
    ),
)


@given(st.lists(ANY_LINE, max_size=5))
@settings(max_examples=300, deadline=None)
def test_no_line_whatever_brings_the_import_down(texts: list[bytes]) -> None:
    told: list[int] = []
    importer = UserImport(None, None, frozenset({"user"}), ImportStats(), lambda number, _: told.append(number))  # type: ignore[arg-type] # examining needs none
    records = importer.validate(ImportLine(number, text) for number, text in enumerate(texts))
    blank = [number for number, text in enumerate(texts) if not text.strip()]
    assert sorted([*told, *blank, *(arrival.number for arrival in records)]) == [*range(len(texts))]
    assert importer.stats.refused == len(told)


# Who is there already.


def test_it_may_be_repeated_and_who_is_there_is_left_as_he_is(unstarted: Service, empty_db: DatabaseInspector) -> None:
    first = ndjson(line("alice", id="019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"), line("bob"))
    assert run(unstarted, "import-users", "-", stdin=first).returncode == 0
    same = line("twin", id="019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a40")
    again = ndjson(
        line("alice", login="other", roles=["admin"], locale="ru"),  # his address: already there, and unchanged
        line("carol", login="BOB"),  # the login of somebody else
        line("dave", id="019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"),  # the id of somebody else
        line("erin", login="other"),
        line("frank", login="Other"),  # taken a line before
        line("erin", login="third"),
        line("grace", login="third"),
        same,
        same,
        line("harry", id=same["id"]),
    )
    before = empty_db.rows("SELECT * FROM users ORDER BY id")
    for command in (("import-users", "--dry-run", "-"), ("import-users", "-")):
        assert empty_db.rows("SELECT * FROM users ORDER BY id") == before
        done = run(unstarted, *command, stdin=again)
        assert done.returncode == 1
        told = done.stderr.splitlines()
        assert told[:-1] == [
            "line 2: login: belongs to another account",
            "line 3: id: belongs to another account",
            "line 5: login: belongs to another account",
            "line 10: id: belongs to another account",
        ]
        assert "3 already there, 4 refused." in told[-1]
    assert "Done. 3 imported" in told[-1]
    logins = [row["login"] for row in empty_db.rows("SELECT login FROM users ORDER BY login")]
    assert logins == ["alice", "bob", "other", "third", "twin"]
    assert empty_db.rows("SELECT * FROM users WHERE login IN ('alice', 'bob') ORDER BY id") == before
    assert empty_db.value("SELECT count(*) FROM user_roles WHERE role = 'admin'") == 0


def test_a_dry_run_knows_what_the_file_itself_takes_and_leaves_nothing(
    unstarted: Service, empty_db: DatabaseInspector, tmp_path: Path
) -> None:
    file = tmp_path / "users.ndjson"
    many = [line(f"user-{number}") for number in range(2_100)]
    file.write_bytes(ndjson(*many, line("late", login="user-1"), line("user-2"), b"nonsense"))
    done = run(unstarted, "import-users", "--dry-run", str(file))
    assert done.returncode == 1
    assert "line 2101: login: belongs to another account" in done.stderr
    assert "2,100 would be imported, 1 already there, 2 refused." in done.stderr
    assert "nothing was written" in done.stderr
    assert count(empty_db) == 0
    done = run(unstarted, "import-users", str(file))
    assert "Done. 2,100 imported, 1 already there, 2 refused." in done.stderr
    assert count(empty_db) == 2_100


# What happens on the way.


@pytest.fixture
def many(*, full_counts: bool) -> int:
    return 100_000 if full_counts else 6_000


def test_an_import_that_was_killed_half_way_is_run_again_without_loss_or_duplicates(
    unstarted: Service, empty_db: DatabaseInspector, many: int, tmp_path: Path
) -> None:
    file = tmp_path / "users.ndjson"
    with file.open("wb") as output:
        output.writelines(ndjson(line(f"user-{number}")) for number in range(many))
    began = time.monotonic()
    with running(unstarted, "import-users", "-") as process, file.open("rb") as half:
        assert process.stdin
        process.stdin.write(half.read(file.stat().st_size // 2))
        process.stdin.flush()
        eventually(lambda: count(empty_db) >= many // 2 - 2_000, within=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    there = count(empty_db)
    assert 0 < there < many
    done = run(unstarted, "import-users", str(file))
    assert done.returncode == 0, done.stderr
    assert f"Done. {many - there:,} imported, {there:,} already there, 0 refused." in done.stderr
    assert time.monotonic() - began <= 60
    assert count(empty_db) == many
    assert empty_db.value("SELECT count(*) FROM user_roles WHERE role = 'user'") == many


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_and_it_says_what_was_done(
    number: signal.Signals, unstarted: Service, empty_db: DatabaseInspector
) -> None:
    with running(unstarted, "import-users", "-") as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(ndjson(*(line(f"user-{index}") for index in range(2_500))))
        process.stdin.flush()
        eventually(lambda: count(empty_db) == 2_000, within=20)
        # It waits for more of the pipe, and nothing comes.
        process.send_signal(number)
        assert process.wait(5) == 128 + number
        told = process.stderr.read().decode()
    assert told == "Interrupted. Run it again to go on. 2,000 imported, 0 already there, 0 refused.\n"
    assert count(empty_db) == 2_000


@contextmanager
def stuck(service: Service, db: DatabaseInspector, file: Path, users: int) -> Iterator[subprocess.Popen[bytes]]:
    """An import whose first batch waits for a lock that ours holds until COMMIT."""
    file.write_bytes(ndjson(*(line(f"user-{number}") for number in range(users))))
    db.rows("BEGIN")
    db.rows("LOCK TABLE users IN EXCLUSIVE MODE")
    with running(service, "import-users", str(file)) as process:
        eventually(lambda: db.value("SELECT pid FROM pg_locks WHERE NOT granted") is not None, within=20)
        yield process


def test_a_signal_in_the_middle_of_a_batch_lets_it_be_finished_and_counted(
    unstarted: Service, empty_db: DatabaseInspector, tmp_path: Path
) -> None:
    with stuck(unstarted, empty_db, tmp_path / "users.ndjson", 5_000) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        empty_db.rows("COMMIT")
        assert process.wait(20) == 130
        assert process.stderr
        assert "2,000 imported, 0 already there" in process.stderr.read().decode()
    assert count(empty_db) == 2_000


def test_a_server_that_goes_away_on_the_way_costs_no_more_than_a_batch(
    unstarted: Service, empty_db: DatabaseInspector, tmp_path: Path
) -> None:
    with stuck(unstarted, empty_db, tmp_path / "users.ndjson", 3_000) as process:
        empty_db.rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        assert process.wait(20) == 1
        assert process.stderr
        told = process.stderr.read().decode()
    empty_db.rows("COMMIT")
    assert "Not finished. Run it again to go on. 0 imported" in told
    assert "PostgreSQL cannot be reached" in told
    assert "Traceback" not in told
    assert count(empty_db) == 0


def test_at_a_terminal_a_bar_grows_and_bad_lines_stand_above_it(unstarted: Service, tmp_path: Path) -> None:
    (tmp_path / "users.ndjson").write_bytes(ndjson(*(line(f"user-{number}") for number in range(3_000)), b"{"))
    terminal = Terminal(unstarted, "import-users", str(tmp_path / "users.ndjson"))
    assert terminal.end() == 1
    assert "Importing  [" in terminal.seen
    assert "100%" in terminal.seen
    assert "2,000 imported, 0 already there, 0 refused" in terminal.seen
    assert "\r\x1b[Kline 3001: must be one JSON object" in terminal.seen


def test_a_server_that_is_away_and_a_file_that_is_not_there_are_told_in_a_sentence(
    unstarted: Service, tmp_path: Path
) -> None:
    away = run(unstarted, "import-users", "-", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert away.returncode == 1
    assert "PostgreSQL cannot be reached at DATABASE_URL." in away.stderr
    missing = run(unstarted, "import-users", str(tmp_path / "nothing"))
    assert missing.returncode == 2
    assert "No such file" in missing.stderr
    for done in (away, missing):
        assert "Traceback" not in done.stderr


def test_an_endless_line_takes_no_memory(unstarted: Service) -> None:
    with running(unstarted, "import-users", "-") as process:
        assert process.stdin
        assert process.stderr
        for _ in range(200):
            process.stdin.write(b"x" * 1_000_000)
        process.stdin.write(b"\n" + ndjson(line("alice")))
        process.stdin.flush()
        assert process.stderr.readline() == b"line 1: is longer than 64 kB\n"
        [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        assert int(peak) < 160_000
        process.stdin.close()
        assert b"1 imported, 0 already there, 1 refused" in process.stderr.read()


def test_more_roles_than_a_token_can_hold_are_refused(unstarted: Service, empty_db: DatabaseInspector) -> None:
    names = [f"many-{number}" for number in range(21)]
    empty_db.rows("INSERT INTO roles SELECT unnest($1::text[]), 'x'", names)
    done = run(unstarted, "import-users", "-", stdin=ndjson(line("loaded", roles=names), line("able", roles=names[1:])))
    assert done.returncode == 1
    assert "line 1: roles: must be at most 20, because a token holds no more" in done.stderr
    assert "1 imported" in done.stderr
