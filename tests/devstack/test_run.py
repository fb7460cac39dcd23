"""`make run`: what the user at the terminal sees, and that nothing is left when it ends, however it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.ports import free_port

LeftRunning = Callable[..., list[str]]

# Stands in for main.py: it answers when ready, writes down its environment, and misbehaves on request.
SERVICE = r"""
import http.server, json, os, pathlib, signal, subprocess, sys, time
here = pathlib.Path(__file__).parent
if sys.argv[1] == "migrate":
    print("the migrations speak", flush=True)
    sys.exit("SECRET_KEYS: must be longer" if os.environ.get("MISBEHAVE") == "migrate" else 0)
if sys.argv[1] == "create-admin":
    assert sys.argv[2:] == "--if-none --generate --email admin@example.com --login admin".split()
    if (here / "admin").exists():
        sys.exit()
    (here / "admin").touch()
    print("login     admin\npassword  sesame")
    sys.exit()
(here / "environment.json").write_text(json.dumps(dict(os.environ)))
# The real service binds its workers to its own life; a misbehaving one forgets to.
well_bound = "import os, sys, time\nwhile os.getppid() == int(sys.argv[2]): time.sleep(0.1)"
knows_nothing = "import time; time.sleep(60)"
work = knows_nothing if "MISBEHAVE" in os.environ else well_bound
subprocess.Popen([sys.executable, "-c", work, str(here), str(os.getpid())])
if os.environ.get("MISBEHAVE") == "crash":
    sys.exit("something broke")
if os.environ.get("MISBEHAVE") == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answer).serve_forever()
"""

RUN = """
import sys
from pathlib import Path
from devstack.run import run
from devstack.service import Service
Service.stop_timeout = 0.8
sys.exit(run(int(sys.argv[1]), Path(sys.argv[2]), (sys.executable, sys.argv[3])))
"""


class Run:
    """A `make run` with a stand-in for the service."""

    def __init__(self, folder: Path, **environment: str) -> None:
        script = folder / "service.py"
        script.write_text(SERVICE)
        self.port = free_port()
        self.data = folder / "data"
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.port), str(self.data), str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | environment,
        )
        self.seen = ""

    def read_until(self, text: str) -> None:
        """Read the output until it contains `text`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen += line
            if text in line:
                return
        raise AssertionError(f"{text!r} was not seen in:\n{self.seen}")

    def end(self, *signals: signal.Signals) -> int:
        """Send the signals, read the rest, return the exit code."""
        for one in signals:
            self.process.send_signal(one)
            time.sleep(0.1)
        self.seen += self.process.communicate(timeout=20)[0]
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path, prepared: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(*, fresh: bool = False, **environment: str) -> Run:
        if fresh:
            shutil.rmtree(prepared)
        runs.append(Run(tmp_path, **environment))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.end(signal.SIGKILL)


def test_a_newcomer_sees_progress_addresses_and_the_code_of_each_mail(
    start: Callable[..., Run], tmp_path: Path, left_running: LeftRunning, ask: Callable[..., Any]
) -> None:
    run = start(fresh=True, CODE_DIGITS="6", ISSUER="https://mine.example", DATABASE_URL="postgresql://elsewhere/x")
    run.read_until("Ctrl-C stops everything")
    for shown in (
        "PostgreSQL is ready after",
        "the migrations speak",
        f"http://127.0.0.1:{run.port}/docs",
        f"{run.data}/mail",
        "  login     admin\n  password  sesame\n",
    ):
        assert shown in run.seen

    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["CODE_DIGITS"] == "6"
    assert environment["ISSUER"] == "https://mine.example"
    assert environment["MAIL_FROM"] == "Auth <auth@localhost>"
    assert environment["PORT"] == str(run.port)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", environment["SECRET_KEYS"])
    assert ask(environment["DATABASE_URL"], "SELECT current_database()") == "auth"

    # The settings for commands beside the service: only their owner may read them.
    settings = run.data / "settings.sh"
    assert settings.stat().st_mode & 0o777 == 0o600
    exported = subprocess.check_output(["sh", "-c", f". {settings} && env"], env={}, text=True).splitlines()
    for name in ("DATABASE_URL", "SECRET_KEYS", "MAIL_FROM"):
        assert f"{name}={environment[name]}" in exported
    assert not any(line.startswith("PORT=") for line in exported), "the next `make run` would obey it"

    with smtplib.SMTP("127.0.0.1", int(environment["SMTP_URL"].rpartition(":")[2]), timeout=5) as client:
        client.sendmail("auth@localhost", "bob@example.org", "Subject: \x1b[31mcode\n\nHello\n\n0042\n")
    run.read_until("mail to bob@example.org: ?[31mcode  0042")

    assert run.end(signal.SIGINT) == 0
    assert left_running(tmp_path) == []
    assert (run.data / "secret_keys").read_text() == environment["SECRET_KEYS"]


@pytest.mark.parametrize("signals", [[signal.SIGHUP], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]])
def test_a_signal_stops_all_and_a_second_one_does_not_spoil_it(
    signals: list[signal.Signals], start: Callable[..., Run], tmp_path: Path, left_running: LeftRunning
) -> None:
    run = start(MISBEHAVE="stubborn")
    run.read_until("Ctrl-C stops everything")
    assert run.end(*signals) == 0, run.seen
    assert "Traceback" not in run.seen
    assert left_running(tmp_path) == []


def test_ctrl_c_during_the_start_leaves_nothing(
    start: Callable[..., Run], tmp_path: Path, left_running: LeftRunning
) -> None:
    run = start(fresh=True)
    run.read_until("Starting PostgreSQL")
    time.sleep(0.5)
    assert run.end(signal.SIGINT) == 0, run.seen
    assert "Traceback" not in run.seen
    assert left_running(tmp_path) == []


def test_a_killed_run_leaves_nothing_and_the_next_one_works(
    start: Callable[..., Run], tmp_path: Path, left_running: LeftRunning
) -> None:
    run = start()
    run.read_until("Ctrl-C stops everything")
    run.end(signal.SIGKILL)
    assert left_running(tmp_path) == []
    assert "sesame" in run.seen
    run = start()
    run.read_until("Ctrl-C stops everything")
    assert run.end(signal.SIGINT) == 0
    assert "administrator" not in run.seen, "the password is shown once"


@pytest.mark.parametrize(
    ("misbehaviour", "sentence"),
    [
        ("crash", "The service has ended by itself with exit code 1"),
        ("migrate", "The migrations failed with exit code 1. SECRET_KEYS: must be longer"),
    ],
)
def test_a_service_that_ends_by_itself_ends_the_run(
    misbehaviour: str, sentence: str, start: Callable[..., Run], tmp_path: Path, left_running: LeftRunning
) -> None:
    run = start(MISBEHAVE=misbehaviour)
    assert run.end() == 1
    assert sentence in run.seen
    assert left_running(tmp_path) == []


def test_a_server_that_crashes_ends_the_run(
    start: Callable[..., Run], tmp_path: Path, left_running: LeftRunning
) -> None:
    run = start()
    run.read_until("Ctrl-C stops everything")
    postmaster = int((run.data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    assert run.end() == 1
    assert "PostgreSQL has ended by itself" in run.seen
    assert left_running(tmp_path) == []


def test_a_second_run_on_one_folder_and_a_taken_port_are_refused(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start()
    run.read_until("Ctrl-C stops everything")
    second = start()
    assert second.end() == 1
    assert f"{run.data}/valkey is in use by another run (process {run.process.pid})" in second.seen
    command = [sys.executable, "-m", "devstack", "run", "--port", str(run.port), "--data", str(tmp_path / "other")]
    third = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert third.returncode == 1
    assert f"Port {run.port} on 127.0.0.1 is taken. Stop what uses it, or choose another port" in third.stderr
    assert run.end(signal.SIGTERM) == 0


def test_a_terminal_that_has_read_the_settings_of_another_copy_does_not_lend_them_to_this_one(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start(fresh=True, DEVSTACK_SETTINGS="/another/copy", SECRET_KEYS="of another copy", ISSUER="http://another")
    run.read_until("Ctrl-C stops everything")
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["SECRET_KEYS"] == (run.data / "secret_keys").read_text()
    assert environment["ISSUER"] == f"http://127.0.0.1:{run.port}"
    assert "the settings of /another/copy; they are not used" in run.seen
    assert run.end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (["--data", "/proc/none"], "cannot be used"),
        (["--data", "/dev/null"], "cannot be used"),
        (["--data", "/dev/null/below"], "cannot be used"),
        (["--port", "80000"], "from 1 to 65535"),
        (["--port", "0"], "from 1 to 65535"),
    ],
)
def test_a_folder_or_port_that_cannot_be_had_is_refused_in_a_sentence(wish: list[str], sentence: str) -> None:
    command = [sys.executable, "-m", "devstack", "run", "--port", str(free_port()), *wish]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
