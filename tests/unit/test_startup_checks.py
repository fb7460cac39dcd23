"""What the operator is told when something is set up as it cannot be meant."""

from __future__ import annotations

import pytest

from backend.operations.proxy_check import SingleClientWarning
from backend.operations.startup_checks import warn_of_caught_mail

SHARED = "every client has the address 10.1.2.3"


def test_a_proxy_that_hides_all_clients_is_noticed_once(caplog: pytest.LogCaptureFixture) -> None:
    warning = SingleClientWarning()
    for _ in range(499):
        warning.observe("127.0.0.1")
        warning.observe("unknown")
        warning.observe("10.1.2.3")
    assert SHARED not in caplog.text
    for _ in range(1000):
        warning.observe("10.1.2.3")
    assert caplog.text.count(SHARED) == 1


@pytest.mark.parametrize("others", [["10.1.2.4"], ["203.0.113.7"], ["2001:db8::1"]])
def test_two_clients_are_a_crowd(others: list[str], caplog: pytest.LogCaptureFixture) -> None:
    warning = SingleClientWarning()
    for address in ["10.1.2.3", *others, *["10.1.2.3"] * 2000]:
        warning.observe(address)
    assert not caplog.text


def test_one_public_address_is_somebody_who_tries_the_service(caplog: pytest.LogCaptureFixture) -> None:
    warning = SingleClientWarning()
    for _ in range(2000):
        warning.observe("198.51.100.7")
        warning.observe("8.8.8.8")
    assert not caplog.text


@pytest.mark.parametrize(
    ("domain", "servers", "warnings"),
    [
        ("auth.example.com", ["smtp://mailpit:1025"], 1),
        ("auth.example.com", ["smtps://user:pw@smtp.example.com", "smtp://mailpit:1025"], 1),
        (None, ["smtp://mailpit:1025"], 0),
        ("auth.example.com", ["smtps://user:pw@smtp.example.com"], 0),
    ],
)
def test_a_public_service_whose_mail_is_caught_is_told(
    domain: str | None, servers: list[str], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_caught_mail(domain, servers)
    assert caplog.text.count("set SMTP_URL") == warnings
    assert "pw" not in caplog.text
