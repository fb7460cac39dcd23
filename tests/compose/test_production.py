"""docker compose up, from a fresh clone of HEAD, used as people use it and stopped as operators stop it.

The tests follow one another on one installation, as the days of an operator do.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.service.compose import Compose, Mailpit
from tests.support.service.process import OUT_OF_THE_WAY
from tests.support.state.fact_log import FactLog
from tests.support.users.people import Person, Walker, new_person
from tests.support.users.traffic import SendOne, Traffic

pytestmark = pytest.mark.compose


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Everything is up, and nothing was configured."""
    project = Compose(tmp_path_factory.mktemp("compose"))
    try:
        project.up()
        yield project
    finally:
        project.remove()


@pytest.fixture(scope="module")
def patient(compose: Compose) -> Compose:
    """Three copies of the app, and no limits: all that is sent from here has one address."""
    (compose.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in OUT_OF_THE_WAY.items()))
    compose.up("--scale", "app=3")
    return compose


@pytest.fixture(scope="module")
def mailpit(compose: Compose) -> Mailpit:
    return Mailpit()


@pytest.fixture(scope="module")
def alice() -> Person:
    return new_person("alice")


def test_a_stranger_registers_logs_in_and_recovers_through_https(
    compose: Compose, mailpit: Mailpit, alice: Person
) -> None:
    with compose.client() as client:
        walk = Walker(client, mailpit)
        user = walk.register(alice)
        assert user["roles"] == ["user"]
        assert walk.me(walk.log_in(alice)).json()["login"] == alice.login
        renewed = walk.recover(alice, "another horse battery 4711")
        refused = walk.post("/login", login=alice.login, password=alice.password)
        assert refused.status_code == 401
        assert walk.me(walk.log_in(renewed)).json()["id"] == user["id"]
        # And back, for the tests below.
        walk.recover(renewed, alice.password)
        issuer = client.get("/.well-known/oauth-authorization-server").json()["issuer"]
    assert issuer == "https://localhost"


def test_what_is_published_is_what_should_be_and_the_rest_is_closed(compose: Compose) -> None:
    assert "swagger" in httpx.get("http://localhost:8000/docs").text
    assert httpx.get("http://localhost:8000/health/ready").json()["status"] == "ok"
    assert httpx.get("http://localhost/docs").headers["Location"] == "https://localhost/docs"
    with compose.client() as client:
        for closed in ("/metrics", "/health/ready", "/admin/roles"):
            assert client.get(closed).status_code == 403
    published = {}
    for line in compose.docker("compose", "ps", "--format", "json").splitlines():
        container = json.loads(line)
        ports = {(one["URL"], one["PublishedPort"]) for one in container["Publishers"] or () if one["PublishedPort"]}
        if ports:
            published[container["Service"]] = ports
    assert published == {
        "nginx": {("0.0.0.0", 80), ("0.0.0.0", 443), ("127.0.0.1", 8000)},
        "mailpit": {("127.0.0.1", 8025)},
    }


def test_no_container_may_do_more_than_it_must(compose: Compose) -> None:
    for service in ("postgres", "redis", "app", "worker", "nginx", "mailpit"):
        [container] = compose.containers(service)
        [seen] = json.loads(compose.docker("inspect", container))
        host = seen["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert bool(host["CapAdd"]) == (service == "postgres"), service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service
        assert host["RestartPolicy"]["Name"] == "unless-stopped", service
        assert host["LogConfig"]["Config"]["max-size"], service
        # No secret stands where `docker inspect` shows it.
        assert "://:" not in json.dumps(seen["Config"]["Env"]), service
    inside = compose.docker(
        "compose", "exec", "-T", "app", "python", "-c", "import os; print(os.getuid(), *os.listdir())"
    )
    uid, *files = inside.split()
    assert uid == "10001"
    assert not {"tests", "devstack", "bench", "requirements-dev.txt", ".git", ".env", "docs"} & set(files)


def test_neither_nginx_nor_mailpit_reaches_the_database_or_valkey(compose: Compose) -> None:
    networks: dict[str, set[str]] = {}
    for service in ("postgres", "redis", "app", "worker", "nginx", "mailpit"):
        [container] = compose.containers(service)
        [seen] = json.loads(compose.docker("inspect", container))
        networks[service] = set(seen["NetworkSettings"]["Networks"])
    for door in ("nginx", "mailpit"):
        for store in ("postgres", "redis"):
            assert not networks[door] & networks[store], (door, store)


def test_fault_17_each_copy_in_turn_is_restarted_under_traffic_and_no_request_fails(
    patient: Compose, mailpit: Mailpit, alice: Person
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(patient.client()) for _ in range(5)]
        token = Walker(clients[0], mailpit).log_in(alice)

        def read(client: httpx.Client) -> SendOne:
            return lambda: client.get("/me", headers={"Authorization": f"Bearer {token}"})

        def write(client: httpx.Client) -> SendOne:
            return lambda: client.post("/recover", json={"email": f"{time.monotonic_ns()}@example.com"})

        def hash_(client: httpx.Client) -> SendOne:
            return lambda: client.post("/login", json={"login": alice.login, "password": alice.password})

        callers = [*map(read, clients[:2]), *map(write, clients[2:4]), hash_(clients[4])]
        with Traffic(callers, rest=0.4) as traffic:
            copies = patient.containers("app")
            assert len(copies) == 3
            for copy in copies:
                patient.restart(copy)
    assert not traffic.failures, traffic.failures
    assert Counter(call.status for call in traffic.calls).keys() == {200, 202}
    assert len(traffic.calls) > 100
    print(f"{len(traffic.calls)} requests, none failed, while three copies were restarted")  # noqa: T201 - a figure


def test_nothing_that_was_acknowledged_is_lost_when_all_is_taken_down_under_traffic(
    patient: Compose, mailpit: Mailpit, alice: Person
) -> None:
    certificate = patient.certificate()
    with patient.client() as client:
        keys = client.get("/.well-known/jwks.json").json()
        token = Walker(client, mailpit).log_in(alice)
    oracle = FactLog()
    over = threading.Event()
    with ExitStack() as stack:
        walks = [Walker(stack.enter_context(patient.client()), mailpit) for _ in range(3)]
        threads = [threading.Thread(target=oracle.watch, args=(walk, over), daemon=True) for walk in walks]
        for thread in threads:
            thread.start()
        time.sleep(20)
        patient.down()
        over.set()
        for thread in threads:
            thread.join(60)
    assert len(oracle.people) >= 3, oracle.people
    patient.up("--scale", "app=3")
    assert patient.certificate() == certificate
    with patient.client() as client:
        walk = Walker(client, mailpit)
        assert client.get("/.well-known/jwks.json").json() == keys
        assert walk.me(token).json()["login"] == alice.login
        oracle.verify(walk)
    print(f"{oracle.facts} acknowledged facts of {len(oracle.people)} people, none lost")  # noqa: T201 - a figure
