"""threats.md row 26 and section 2.4: whoever attacks an account does not lock its owner out."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from backend.mail.code_mail import _FEW_LEFT
from config import Settings
from devstack.mailbox import Mail, Mailbox
from devstack.stack import Stack
from redis_tools.rescue_codes import RESCUE_TTL
from tests.support.models.owner_simulation import DAY, HOUR, MINUTE, ServiceModel, Siege, share_within
from tests.support.requests.burst import post, send
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.service.settings import settings_of
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.state.eventually import eventually
from tests.support.users.people import Person, Walker
from tests.support.users.user_factory import create_users
from tests.support.users.waiting_flows import flow_id_of

BOTS = 20
_MAILS_AT_ONCE = 5
_RESCUE = re.compile(r"^([A-Z2-7]{26})$", re.MULTILINE)


service = service_fixture(workers=2, **AS_SHIPPED)


def _bot(service: Service, email: str, over: threading.Event, stumbled: list[str]) -> None:
    """Begin a recovery, guess wrong three times, begin anew; every request from another address."""
    guesses = random.Random(email)
    start = post("/recover", f'{{"email": "{email}"}}'.encode())
    while not over.is_set():
        # A service that is too busy for a bot is no matter; only what it says to the owner is.
        with suppress(OSError, AssertionError):
            answer = send(service, start)
            if answer.status == 500:
                stumbled.append(answer.body.decode())
            if answer.status != 202:
                continue
            key = answer.json["session_key"]
            for _ in range(3):
                code = f"{guesses.randrange(10**4):04d}"
                guess = post("/recover/confirm", f'{{"session_key": "{key}", "code": "{code}"}}'.encode())
                if send(service, guess).status == 500:
                    stumbled.append("a guess")


@contextmanager
def _flooded(service: Service, person: Person) -> Iterator[None]:
    """Twenty bots at one account."""
    over, stumbled = threading.Event(), list[str]()
    bots = [threading.Thread(target=_bot, args=(service, person.email, over, stumbled)) for _ in range(BOTS)]
    for bot in bots:
        bot.start()
    try:
        yield
    finally:
        over.set()
        for bot in bots:
            bot.join()
    assert not stumbled, stumbled[:3]


@dataclass(frozen=True, slots=True)
class Owner:
    """Has forgotten the password, and sits before a device that nobody knows."""

    person: Person
    walk: Walker
    db: DatabaseInspector

    @property
    def mails(self) -> list[Mail]:
        return [mail for mail in self.walk.mailbox.mails(self.person.email) if mail.code]

    def ask(self, path: str, **body: object) -> httpx.Response:
        """As a browser's user does: a page that says `busy` is tried again, a while later."""
        answers: list[httpx.Response] = []

        def is_answered() -> bool:
            answers.append(self.walk.post(path, **body))
            return answers[-1].status_code != 503

        eventually(is_answered, within=60, look_every=0.2)
        return answers[-1]

    def begin(self) -> str:
        answer = self.ask("/recover", email=self.person.email)
        assert answer.status_code == 202, answer.text
        key: str = answer.json()["session_key"]
        return key

    def wait_for_mail(self, key: str) -> None:
        """Until the mail of this flow has left, or it is certain that none will."""
        query = "SELECT count(*) FROM outbox WHERE payload->>'flow' = $1"
        eventually(lambda: self.db.value(query, flow_id_of(key).hex()) == 0, within=60)

    def enter(self, key: str, code: str) -> httpx.Response:
        return self.ask("/recover/confirm", session_key=key, code=code)

    def finish(self, confirmed: httpx.Response) -> None:
        assert confirmed.status_code == 200, confirmed.text
        password = "what only the owner knows"
        done = self.ask("/recover/password", session_key=confirmed.json()["session_key"], password=password)
        assert done.status_code == 204, done.text

    def rescue(self) -> str:
        """The newest rescue code; there is one whenever a mail was refused.

        The first mails of a flood leave by several hands at once, and the last to arrive need not be the last sent.
        """
        codes = [found[1] for mail in self.mails if (found := _RESCUE.search(mail.text))]
        assert codes, [mail.text for mail in self.mails]
        return codes[-1]


def _recovers(owner: Owner, key: str, code: str | None) -> str:
    """Enter the code of one's own mail if one came, else the newest rescue code; tell by what it was done."""
    if code is not None:
        confirmed = owner.enter(key, code)
        if confirmed.status_code == 200:
            owner.finish(confirmed)
            return "code"
        # The flood may have raised the floor meanwhile; the code is then another one, if there was a mail left for it.
        assert confirmed.json()["code"] == "code_replaced", confirmed.text
        owner.wait_for_mail(key)
    owner.finish(owner.enter(key, owner.rescue()))
    return "rescue"


def _comes_before_the_flood(owner: Owner, service: Service) -> str:
    """His mail is there when the flood begins; then all mails are used up before he has typed its code."""
    key = owner.begin()
    owner.wait_for_mail(key)
    own = owner.mails[-1].code
    with _flooded(service, owner.person):
        eventually(lambda: len(owner.mails) >= _MAILS_AT_ONCE, within=60)
        return _recovers(owner, key, own)


def _comes_in_the_flood(owner: Owner, service: Service) -> str:
    """Every mail that may be sent has been sent for the bots."""
    with _flooded(service, owner.person):
        eventually(lambda: len(owner.mails) >= _MAILS_AT_ONCE, within=60)
        mails = len(owner.mails)
        key = owner.begin()
        owner.wait_for_mail(key)
        assert len(owner.mails) == mails, "a mail came although the bucket was empty"
        return _recovers(owner, key, None)


def test_row_26_the_owner_recovers_on_a_new_device_amid_twenty_flooding_bots(
    service: Service, db: DatabaseInspector, mailbox: Mailbox, *, full_counts: bool
) -> None:
    trials = 60 if full_counts else 4
    done: Counter[str] = Counter()
    for number, person in enumerate(create_users(db, trials, "owner")):
        with service.client() as client:
            owner = Owner(person, Walker(client, mailbox), db)
            done[(_comes_before_the_flood, _comes_in_the_flood)[number % 2](owner, service)] += 1
            # The password is the owner's own, and nobody else got in.
            login = owner.ask("/login", login=person.login, password="what only the owner knows")
            assert login.status_code == 202, login.text
            assert db.value("SELECT version FROM users WHERE email = $1", person.email) == 2
    assert done.total() == trials
    assert done["rescue"] >= trials // 2, done
    if full_counts:
        assert done["code"], done


@pytest.fixture
def as_shipped(stack: Stack, tmp_path: Path) -> Settings:
    return settings_of(Service(stack, "auth", 252, tmp_path, workers=1, **AS_SHIPPED).environment)


def _owner_comes(house: ServiceModel, bots: int, rng: random.Random, latest: float) -> Callable[[], float]:
    """One trial after the other: the owner begins at some moment of an attack, which goes on."""
    return lambda: Siege(house, bots, rng.choice((1.0, 30.0, 300.0)), rng).recover(rng.uniform(0, latest))


@pytest.mark.parametrize("latest", [2 * MINUTE, HOUR, 3 * DAY], ids=["at its beginning", "in its first hour", "later"])
def test_b3_nearly_every_owner_is_in_within_ten_minutes(as_shipped: Settings, latest: float) -> None:
    rng = random.Random(26)
    house = ServiceModel.of(as_shipped, known_device=False, rescue_life=RESCUE_TTL, few_left=_FEW_LEFT)
    trials = 4_000
    assert share_within(10 * MINUTE, trials, _owner_comes(house, BOTS, rng, latest)) >= 0.99
    if latest >= HOUR:
        # Whether this can be measured at all: without rescue codes hardly anybody finds a mail that the bots have left.
        bare = house.without_rescue()
        assert share_within(10 * MINUTE, 300, _owner_comes(bare, BOTS, rng, latest)) < 0.5


def test_b3_an_owner_on_a_known_device_is_in_within_ten_minutes(as_shipped: Settings) -> None:
    rng = random.Random(27)
    house = ServiceModel.of(as_shipped, known_device=True, rescue_life=RESCUE_TTL, few_left=_FEW_LEFT)
    # No bot has the device's secret: none of them reaches its bucket.
    assert share_within(10 * MINUTE, 20_000, _owner_comes(house, 0, rng, HOUR)) >= 0.999


def test_b3_a_rescue_code_outlives_the_wait_for_the_next_mail(as_shipped: Settings) -> None:
    """Why a refused mail means a living rescue code: the bucket gives one back in less time than the code lives."""
    mails = as_shipped.limit.mails
    assert mails.seconds / mails.count + 30 * MINUTE <= RESCUE_TTL
    assert _FEW_LEFT >= 1
