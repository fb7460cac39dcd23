"""What /openapi.json says of the calls that take JSON."""

from __future__ import annotations

from typing import Any

from tests.support.service import Service


def forms_of(service: Service) -> dict[str, set[str]]:
    """Every path that takes a JSON body by POST, and the fields of its form."""
    told: dict[str, Any] = service.get("/openapi.json").json()
    forms = {}
    for path, operations in told["paths"].items():
        body = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            shape = body["schema"]
            # A body that may be left out is one form, or null.
            reference = shape["$ref"] if "$ref" in shape else shape["anyOf"][0]["$ref"]
            forms[path] = {*told["components"]["schemas"][reference.rpartition("/")[2]]["properties"]}
    return forms
