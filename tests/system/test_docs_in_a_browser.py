"""What a newcomer sees first: `/docs` in a browser that reaches nothing but the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.service.process import ROOT, Service
from tests.support.users.people import Person
from tests.system.chromium import Page, chromium

pytestmark = pytest.mark.system

ARTIFACTS = ROOT / "tests" / "artifacts"
GROUPS = [
    *("register", "login", "recover", "session", "account"),
    *("users", "roles", "mail", "audit"),
    *("tokens", "health"),
]


class SwaggerUi:
    """Swagger UI, as a person uses it."""

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.service = service
        page.open(f"{service.url}/docs")
        page.wait_for("document.querySelector('.opblock') !== null")

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.ask(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(element => element.innerText.trim())"
        )
        return found

    def operations(self) -> list[str]:
        """A selector for every operation, in their order on the page."""
        found: list[str] = self.page.ask("[...document.querySelectorAll('.opblock')].map(block => block.id)")
        return [f"#{name}" for name in found]

    def operation(self, path: str) -> str:
        """A selector for the operation at a path."""
        place = f"document.querySelector('[data-path={json.dumps(path)}]')?.closest('.opblock')?.id"
        return f"#{self.page.wait_for(place)}"

    def expand(self, operation: str) -> None:
        self.page.click(f"{operation} .opblock-summary-control")
        self.page.wait_for(f"document.querySelector('{operation} .execute') !== null")

    def execute(self, path: str, **body: str) -> tuple[int, dict[str, object]]:
        """Expand the operation, which is ready to be tried, send the body if there is one, and read the answer."""
        operation = self.operation(path)
        self.expand(operation)
        if body:
            self.page.fill(f"{operation} textarea.body-param__text", json.dumps(body, indent=2))
        self.page.click(f"{operation} .execute")
        panel = f"{operation} .live-responses-table .response"
        status = self.page.read(f"{panel} .response-col_status").split()[0]
        answer: dict[str, object] = json.loads(
            self.page.read(f"{panel} .response-col_description .highlight-code code")
        )
        self.page.photograph(path.strip("/").replace("/", "-"), operation)
        return int(status), answer

    def authorize(self, token: object) -> None:
        """Put the token where Swagger UI asks for it."""
        self.page.click(".auth-wrapper .authorize")
        self.page.fill(".modal-ux input", str(token))
        self.page.photograph("authorize", ".modal-ux")
        self.page.click(".modal-ux button.authorize")
        self.page.click(".modal-ux button.btn-done")


@pytest.fixture
def own_service(serving: Serving) -> Iterator[Service]:
    """A browser calls from 127.0.0.1, which it shares with others; so it has a service of its own."""
    with serving() as service:
        yield service


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile", ARTIFACTS) as opened:
        yield opened


@pytest.fixture
def docs(page: Page, own_service: Service) -> Iterator[SwaggerUi]:
    """The page; at the end it must have kept to itself and found nothing to complain of."""
    yield SwaggerUi(page, own_service)
    assert page.ask("window.violations") == []
    assert page.complaints == []
    ours = (f"{own_service.url}/", "data:")
    assert f"{own_service.url}/openapi.json" in page.requests, "the requests are not seen, so that nothing is proved"
    assert [address for address in page.requests if not address.startswith(ours)] == []


def test_a_newcomer_registers_and_logs_in_without_leaving_the_page(
    docs: SwaggerUi, mailbox: Mailbox, bob: Person
) -> None:
    status, opened = docs.execute("/register", email=bob.email, login=bob.login, password=bob.password)
    assert (status, opened["next"]) == (202, "/register/confirm")
    code = str(mailbox.wait_for(bob.email, 1).code)
    status, user = docs.execute("/register/confirm", session_key=str(opened["session_key"]), code=code)
    assert (status, user["login"]) == (201, bob.login)

    status, opened = docs.execute("/login", login=bob.login, password=bob.password)
    assert (status, opened["next"]) == (202, "/login/confirm")
    code = str(mailbox.wait_for(bob.email, 2).code)
    status, tokens = docs.execute("/login/confirm", session_key=str(opened["session_key"]), code=code)
    assert status == 200

    docs.authorize(tokens["access_token"])
    assert docs.execute("/me") == (200, user)
    docs.page.photograph("docs-after-a-walk")


def test_the_groups_follow_the_flows_and_every_example_is_a_worked_one(docs: SwaggerUi) -> None:
    docs.page.photograph("docs")
    assert docs.texts(".opblock-tag a") == GROUPS
    assert all(docs.texts(".opblock-summary-description")), "an operation does not say what it does"
    for operation in docs.operations():
        docs.expand(operation)
        docs.page.wait_for(f"document.querySelector('{operation} .highlight-code code') !== null")
        examples = docs.texts(f"{operation} .highlight-code") + docs.page.ask(
            f"[...document.querySelectorAll('{operation} textarea')].map(field => field.value)"
        )
        assert examples, f"{operation} shows no example"
        for example in examples:
            # Prometheus has a format of its own.
            assert ("metrics" in operation and example.startswith("auth_")) or json.loads(example), operation
            assert '"string"' not in example, f"{operation} shows a placeholder: {example}"
        docs.page.click(f"{operation} .opblock-summary-control")
