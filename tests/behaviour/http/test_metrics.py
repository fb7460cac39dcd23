"""GET /metrics: what an operator's Prometheus reads, the same from every process."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Serving
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import Service
from tests.support.state.eventually import eventually
from tests.support.users.people import Walker, a_wrong_code, new_person

Samples = dict[tuple[str, frozenset[str]], float]


counted = service_fixture(workers=2)
"""A service whose requests nobody else makes."""


def _of(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return name, frozenset(labels)


def samples(service: Service) -> Samples:
    """Every number, by its name and its labels' values."""
    with service.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_steps_are_counted_by_outcome_and_hashes_and_mails_by_the_way(counted: Service, walk: Walker) -> None:
    with counted.client() as client:
        mine = Walker(client, walk.mailbox)
        mine.register(person := new_person("counted"))
        key, code = mine.open_login(person)
        mine.confirm("login", key, a_wrong_code(code))
        mine.confirm("login", key, code)
        client.post("/login", json={"login": person.login})
        client.get("/me/sessions/not-an-id")
        client.get("/this-is-a-canary")
    wanted = {
        _of("auth_requests_total", "POST", "/register", "202"): 1,
        _of("auth_requests_total", "POST", "/register/confirm", "201"): 1,
        _of("auth_requests_total", "POST", "/login", "202"): 1,
        _of("auth_requests_total", "POST", "/login", "invalid_request"): 1,
        _of("auth_requests_total", "POST", "/login/confirm", "wrong_code"): 1,
        _of("auth_requests_total", "POST", "/login/confirm", "200"): 1,
        _of("auth_requests_total", "any", "none", "404"): 1,
        _of("auth_hashes_total"): 2,
        _of("auth_mails_total", "code", "done"): 2,
        _of("auth_postgresql_up"): 1,
    }
    eventually(lambda: wanted.items() <= samples(counted).items(), within=15, look_every=0.5)
    found = samples(counted)
    assert found[_of("auth_hash_seconds_total")] > 0
    assert not any("canary" in label for _, labels in found for label in labels)


def test_what_a_process_has_counted_is_not_lost_when_it_stops(serving: Serving) -> None:
    with serving() as service:
        with service.client() as client:
            for _ in range(7):
                client.get("/health/live")
        assert service.stop() == 0
        service.start()
        assert samples(service)[_of("auth_requests_total", "GET", "/health/live", "200")] == 7
