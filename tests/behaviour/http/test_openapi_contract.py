"""/openapi.json is a contract: whatever is sent, each answer is one that it documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.service.process import SERVICE_CLIENT, Service, basic
from tests.support.users.people import Walker
from tests.support.users.staff import staff_of

OAUTH = ("/introspect", "/revoke")
"""Calls of OAuth's own: forms, and errors of RFC 6749."""

Operation = APIOperation[Any, Any, Any, Any]

# A status that is not documented for the operation fails `status_code_conformance`.
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def schema(service: Service) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


def operations_of(schema: BaseSchema) -> list[Operation]:
    """Every operation; one that cannot even be read as OpenAPI is an error here."""
    operations = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operations.append(found.ok())
    return operations


def test_every_call_of_the_contract_is_described(schema: BaseSchema) -> None:
    described = {f"{operation.method.upper()} {operation.path}" for operation in operations_of(schema)}
    steps = {"register": ("confirm", "login", "resend"), "login": ("confirm", "resend")}
    steps["recover"] = ("confirm", "password", "resend")
    assert described >= {f"POST /{flow}" for flow in steps}
    assert described >= {f"POST /{flow}/{step}" for flow, names in steps.items() for step in names}
    assert described >= {f"GET /admin/{what}" for what in ("users", "roles", "permissions", "mail", "audit")}
    assert described >= {f"POST /admin/users/{{user_id}}/{act}" for act in ("block", "unblock")}
    assert described >= {"POST /admin/users", "DELETE /admin/users/{user_id}", "POST /admin/mail/{mail_id}/send-again"}
    assert described >= {f"PUT /me/{what}" for what in ("password", "login", "locale")} | {"GET /me/export"}
    assert described >= {
        f"POST /me/{flow}{step}" for flow in ("email", "delete") for step in ("", "/confirm", "/resend")
    }
    assert described >= {"GET /me", "GET /.well-known/jwks.json", "GET /health/live", "GET /health/ready"}


def test_every_call_with_a_body_documents_what_may_be_refused(schema: BaseSchema) -> None:
    for operation in operations_of(schema):
        if list(operation.body):
            responses = operation.definition.raw["responses"]
            if operation.path in OAUTH:
                assert {"400", "401", "413", "503"} <= {*responses}, operation.path
                continue
            assert {"413", "415", "422", "503"} <= {*responses}, operation.path
            for status, response in responses.items():
                if status >= "400":
                    # Another media type beside it would be documented and never sent.
                    assert [*response["content"]] == ["application/problem+json"], (operation.path, status)


def test_no_schema_of_fastapis_own_refusals_is_left(schema: BaseSchema) -> None:
    assert {"HTTPValidationError", "ValidationError"}.isdisjoint(schema.raw_schema["components"]["schemas"])


@pytest.fixture(scope="module")
def bearers(service: Service) -> Mapping[str, dict[str, str]]:
    """What opens the doors that are not open to everybody, by how their paths begin."""
    with staff_of(service) as staff:
        owner, administrator = staff.appoint(), staff.admin()
    doors = {"/me": owner.bearer, "/admin": administrator.bearer}
    return doors | {path: {"Authorization": basic(*SERVICE_CLIENT)} for path in OAUTH}


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_one_that_is_documented(
    mode: GenerationMode, schema: BaseSchema, bearers: Mapping[str, dict[str, str]], *, full_counts: bool
) -> None:
    found: list[str] = []
    for operation in operations_of(schema):
        takes_a_body = bool(list(operation.body))
        if mode is GenerationMode.NEGATIVE and not (takes_a_body or [*operation.query, *operation.path_parameters]):
            continue  # There is nothing to get wrong in a call that takes nothing.

        # One without a body has few cases; asking for more would only repeat them.
        @settings(
            max_examples=(300 if full_counts else 30) if takes_a_body else 5,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            print_blob=True,
            suppress_health_check=[*HealthCheck],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def conforms(case: Case[Any]) -> None:
            for headers in ({}, *(token for place, token in bearers.items() if case.operation.path.startswith(place))):
                case.call_and_validate(headers=headers, checks=CHECKS)

        try:
            conforms()
        except BaseException as failure:  # noqa: BLE001 - every operation is to be heard before the verdict
            found.append(f"{operation.method.upper()} {operation.path}: {failure!r}\n{failure}")
    assert not found, "\n\n".join(found)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE"])
def test_another_method_is_refused_as_a_problem(method: str, walk: Walker, schema: BaseSchema) -> None:
    methods: dict[str, set[str]] = {}
    for operation in operations_of(schema):
        methods.setdefault(operation.path, set()).add(operation.method.upper())
    for path in [path for path, its in methods.items() if its == {"POST"}]:
        answer = walk.client.request(method, path)
        assert answer.status_code == 405, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Allow"] == "POST"
        assert answer.json()["code"] == "method_not_allowed"


def test_an_unknown_path_is_a_problem(walk: Walker) -> None:
    answer = walk.client.get("/nowhere/to/be/found")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert "nowhere" not in answer.text
