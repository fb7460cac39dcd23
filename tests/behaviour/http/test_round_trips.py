"""service.md section 10: how often a request asks Valkey and PostgreSQL, by the servers' own statistics."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import httpx
import pytest
from redis import Redis

from devstack import processes
from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.conftest import migrated, serving_on
from tests.support.service.process import AS_SHIPPED, ROOT, Service
from tests.support.state.database_inspector import inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.people import Person, Tokens, new_person
from tests.support.users.user_factory import create_users

REQUESTS = 25
_FLOWS = ("register", "login", "recover")

# One client calls so often that the limits as shipped would stop it; there are as many of them as shipped, though.
_SETTINGS = {
    **AS_SHIPPED,
    "LIMIT_REGISTRATIONS": "1000/3600,10000/86400",
    "LIMIT_RECOVERIES": "1000/3600,10000/86400",
    "LIMIT_LOGINS": "1000/60",
    "LIMIT_STEPS": "1000/60",
    "LIMIT_REFRESHES": "1000/60",
    # The signing keys are read more rarely than anything is counted for.
    "KEY_REFRESH_INTERVAL": "300",
    # Mail is a process of its own here, and runs only while nothing is counted.
    "MAIL_WORKER": "false",
    # One connection, whose transactions PostgreSQL notes one after the other; see `Meter.transactions`.
    "DATABASE_POOL_SIZE": "1",
    "DATABASE_POOL_OVERFLOW": "0",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request asks for."""

    exchanges: float
    """With Valkey; calls that travel together are one."""
    transactions: float
    """Of PostgreSQL."""


class Meter:
    """Reads what the servers have counted."""

    def __init__(self, stack: Stack, service: Service) -> None:
        self._runner = asyncio.Runner()
        # A look at the statistics is a transaction, too; it is counted elsewhere.
        self._connection = self._runner.run(asyncpg.connect(stack.postgres.url("auth")))
        self._database = service.database_url.rpartition("/")[2]
        self._valkey: Redis = Redis.from_url(stack.valkey.url())
        self._idle = 0.0, 0.0
        self._began, self._transactions = 0.0, 0

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()
        self._valkey.close()

    def exchanges(self) -> int:
        """How often Valkey has read from a socket: requests that came together were read together."""
        return int(self._valkey.info("stats")["total_reads_processed"])

    def _noted(self) -> int:
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"
        return int(self._runner.run(self._connection.fetchval(query, self._database)))

    def transactions(self) -> int:
        """How many there were up to now.

        A process of PostgreSQL notes what it did at the end of a transaction, but not more often than once a second.
        The service looks at its backlog every other second: at the next note all that was before is in it.
        """
        noted, deadline = self._noted(), time.monotonic() + 20
        while (now := self._noted()) == noted:
            assert time.monotonic() < deadline, "the service has not looked at its backlog for 20 s"
            time.sleep(0.02)
        return now

    def begin(self) -> None:
        """Count from now on."""
        self._transactions = self.transactions()
        self._began = time.monotonic()

    def learn_noise(self, seconds: float = 4) -> None:
        """What is asked for while nobody calls: so much a second."""
        self.begin()
        began, before, exchanges = self._began, self._transactions, self.exchanges()
        time.sleep(seconds)
        exchanges = self.exchanges() - exchanges - 1
        self.begin()
        passed = self._began - began
        self._idle = exchanges / passed, (self._transactions - before) / passed

    def cost(self, requests: Callable[[], int]) -> Cost:
        """What each of the requests costs; the noise of as much time is taken off."""
        began, exchanges = time.monotonic(), self.exchanges()
        count = requests()
        exchanges, asking = self.exchanges() - exchanges - 1, time.monotonic() - began  # one look is our own
        began, before = self._began, self._transactions
        self._transactions = self.transactions()
        self._began = time.monotonic()
        transactions, noting = self._transactions - before, self._began - began
        return Cost((exchanges - self._idle[0] * asking) / count, (transactions - self._idle[1] * noting) / count)

    def wait_for_quiet(self) -> None:
        """Return when nobody but the service is connected: whoever leaves has noted what he did."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
        eventually(lambda: self._runner.run(self._connection.fetchval(query, self._database)) == 1, within=10)


def _send_mail(service: Service, meter: Meter) -> None:
    """Run ``python main.py worker`` until every mail has left."""
    with service.log_file.open("ab") as log:
        worker = processes.spawn(
            [sys.executable, "main.py", "worker"], folder=ROOT, stdout=log, environment=service.environment
        )
    try:
        with inspect_database(service) as db:
            db.wait_until_all_mail_has_left(30)
    finally:
        worker.terminate()
        worker.wait(15)
    meter.wait_for_quiet()


def _starts(people: Mapping[str, list[Person]], flow: str) -> list[dict[str, str]]:
    form: dict[str, Callable[[Person], dict[str, str]]] = {
        "register": lambda person: {"email": person.email, "login": person.login, "password": person.password},
        "login": lambda person: {"login": person.login, "password": person.password},
        "recover": lambda person: {"email": person.email},
    }
    return [form[flow](person) for person in people[flow]]


@dataclass(frozen=True, slots=True)
class Visits:
    """People who each begin a flow and finish it later."""

    client: httpx.Client
    mailbox: Mailbox
    people: Mapping[str, list[Person]]
    keys: Mapping[str, list[str]]
    tokens: list[Tokens] = field(default_factory=list)
    """Of those who have logged in."""

    def begin(self, flow: str, numbers: range) -> int:
        forms = _starts(self.people, flow)
        for number in numbers:
            answer = self.client.post(f"/{flow}", json=forms[number])
            assert answer.status_code == 202, answer.text
            self.keys[flow].append(answer.json()["session_key"])
        return len(numbers)

    def confirm(self, flow: str, numbers: range) -> int:
        for number in numbers:
            code = self.mailbox.mails(self.people[flow][number].email)[-1].code
            answer = self.client.post(f"/{flow}/confirm", json={"session_key": self.keys[flow][number], "code": code})
            assert answer.is_success, answer.text
            if flow == "login":
                self.tokens.append(Tokens.of(answer))
        return len(numbers)

    def _me(self, tokens: Tokens) -> None:
        answer = self.client.get("/me", headers={"Authorization": f"Bearer {tokens.access}"})
        assert answer.status_code == 200, answer.text

    def read_me(self, numbers: range) -> int:
        """The same user again and again."""
        for _ in numbers:
            self._me(self.tokens[0])
        return len(numbers)

    def read_me_anew(self, numbers: range) -> int:
        """One user after the other, for the first time."""
        for number in numbers:
            self._me(self.tokens[number])
        return len(numbers)

    def refresh(self, numbers: range) -> int:
        for number in numbers:
            answer = self.client.post("/token/refresh", json={"refresh_token": self.tokens[number].refresh})
            assert answer.status_code == 200, answer.text
        return len(numbers)


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cost]:
    """Every request counted on servers that nobody else uses, after a first one of its kind."""
    folder = tmp_path_factory.mktemp("counted")
    with Stack(folder / "stack", durable=False) as stack:
        migrated(stack)
        with serving_on(stack, folder, workers=1, **_SETTINGS) as service, service.client() as client:
            with inspect_database(service) as db:
                known = create_users(db, 2 * (REQUESTS + 1), "counted")
            strangers = [new_person("counted") for _ in range(REQUESTS + 1)]
            people = {"register": strangers, "login": known[: REQUESTS + 1], "recover": known[REQUESTS + 1 :]}
            visits = Visits(client, stack.mailbox, people, {flow: [] for flow in _FLOWS})
            meter = Meter(stack, service)
            try:
                return _measured(service, meter, visits)
            finally:
                meter.close()


def _measured(service: Service, meter: Meter, visits: Visits) -> dict[str, Cost]:
    first, others = range(1), range(1, REQUESTS + 1)
    for flow in _FLOWS:
        visits.begin(flow, first)
    _send_mail(service, meter)
    for flow in _FLOWS:
        visits.confirm(flow, first)
    meter.learn_noise()
    costs = {f"/{flow}": meter.cost(partial(visits.begin, flow, others)) for flow in _FLOWS}
    _send_mail(service, meter)
    meter.begin()
    costs |= {f"/{flow}/confirm": meter.cost(partial(visits.confirm, flow, others)) for flow in _FLOWS}
    visits.read_me(first)
    meter.begin()
    costs["/me"] = meter.cost(partial(visits.read_me, others))
    costs["/me, the first time"] = meter.cost(partial(visits.read_me_anew, others))
    costs["/token/refresh"] = meter.cost(partial(visits.refresh, others))
    return costs


@pytest.mark.parametrize(
    ("path", "exchanges", "transactions"),
    [
        # All limits at once, then the flow with what is given back; the job of the mail.
        ("/register", 2, 1),
        ("/recover", 2, 1),
        # The account is read before the password is checked.
        ("/login", 2, 2),
        # Limits and thermostat at once, the step; the effect; the close.
        ("/register/confirm", 3, 1),
        ("/login/confirm", 3, 1),
        ("/recover/confirm", 3, 1),
        # C7: what Valkey has at hand is all there is to ask; the first time a lease, one read, and the filling.
        ("/me", 1, 0),
        ("/me, the first time", 3, 1),
        # The limit; session, user and rotation, each a statement that commits by itself.
        ("/token/refresh", 1, 3),
    ],
)
def test_b8_a_request_asks_no_oftener_than_design_says(
    costs: dict[str, Cost], path: str, exchanges: int, transactions: int
) -> None:
    # A tenth: the background may come once more or less often than it did while it was measured.
    assert costs[path].exchanges == pytest.approx(exchanges, abs=0.1), costs
    assert costs[path].transactions == pytest.approx(transactions, abs=0.1), costs
