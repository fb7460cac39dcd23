"""What /openapi.json says of the calls that take JSON."""

from __future__ import annotations

from typing import Any

from tests.support.service.process import Service

METHODS = ("post", "put", "patch")


def _calls_of(service: Service) -> dict[str, tuple[str, set[str]]]:
    told: dict[str, Any] = service.get("/openapi.json").json()
    calls = {}
    for path, operations in told["paths"].items():
        for method in METHODS:
            body = operations.get(method, {}).get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                shape = body["schema"]
                # A body that may be left out is one form, or null.
                reference = shape["$ref"] if "$ref" in shape else shape["anyOf"][0]["$ref"]
                fields = {*told["components"]["schemas"][reference.rpartition("/")[2]]["properties"]}
                calls[path] = (method.upper(), fields)
    return calls


def forms_of(service: Service) -> dict[str, set[str]]:
    """Every path that takes a JSON body, and the fields of its form."""
    return {path: fields for path, (_, fields) in _calls_of(service).items()}


def methods_of(service: Service) -> dict[str, str]:
    """Every path that takes a JSON body, and the method that it is sent by."""
    return {path: method for path, (method, _) in _calls_of(service).items()}
