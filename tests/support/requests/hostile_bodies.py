"""Bodies that no client of good will sends; each holds a canary wherever it has room for one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass

CANARY = "canary7f3a9c"
JSON = "application/json"

FIELDS = (
    *("email", "login", "password", "current_password", "locale", "session_key", "code", "refresh_token"),
    *("name", "description", "permissions"),
)
_GOOD = {
    "email": f"{CANARY}@example.com",
    "login": CANARY,
    "password": f"{CANARY} {CANARY}",
    "current_password": f"{CANARY} {CANARY} {CANARY}",
    "locale": CANARY,
    "session_key": (CANARY * 6)[:64],
    "code": "1234",
    "refresh_token": (CANARY * 8)[:86],
    "name": CANARY,
    "description": CANARY,
    "permissions": [CANARY],
}


@dataclass(frozen=True, slots=True)
class Hostile:
    """A body, and how it is declared."""

    name: str
    body: bytes
    content_type: str | None = JSON


def _text(text: str) -> bytes:
    return text.encode()


def _every_field(value: str) -> str:
    """An object that has the value, which is JSON already, in every field that any form of ours has."""
    return "{" + ", ".join(f'"{field}": {value}' for field in FIELDS) + "}"


def corpus() -> list[Hostile]:
    """All of them."""
    return [*_not_json(), *_wrongly_encoded(), *_wrong_shapes(), *_wrong_values(), *_wrong_types()]


def _not_json() -> Iterator[Hostile]:
    good = json.dumps(_GOOD)
    for name, text in {
        "nothing": "",
        "a space": " ",
        "a bare canary": CANARY,
        "half an object": good[: len(good) // 2],
        "two objects": good + good,
        "something after the end": good + CANARY,
        "single quotes": good.replace('"', "'"),
        "no quotes": f"{{{CANARY}: {CANARY}}}",
        "a comment": f"/* {CANARY} */ {good}",
        "a comma too many": good[:-1] + ",}",
        "a colon too few": f'{{"{CANARY}"}}',
        "NaN": _every_field("NaN"),
        "Infinity": _every_field("Infinity"),
        "minus Infinity": _every_field("-Infinity"),
        "a leading zero": _every_field("0123"),
        "a hexadecimal number": _every_field("0x1F"),
        "an unknown escape": _every_field(f'"\\x41{CANARY}"'),
        "half an escape": f'{{"email": "{CANARY}\\u00',
        "a raw line end in a string": _every_field(f'"{CANARY}\n"'),
        "a raw NUL in a string": _every_field(f'"{CANARY}\0"'),
        "a hundred thousand arrays": "[" * 100_000,
        "a hundred thousand arrays with an end": "[" * 100_000 + "]" * 100_000,
        "five thousand objects": '{"a":' * 2_500 + "1" + "}" * 2_500,
        "nine hundred arrays": f'{{"email": {"[" * 900}"{CANARY}"{"]" * 900}}}',
        "doubled names": good[:-1] + f', "email": "{CANARY}@example.org", "code": "4321"}}',
        "doubled names, one escaped": good[:-1] + ', "\\u0065mail": "x@example.org", "cod\\u0065": "4321"}',
        "a number of five thousand digits": f'{{"email": {"9" * 5_000}, "name": {"9" * 5_000}}}',
        "a form": f"email={CANARY}&password={CANARY}",
        "XML": f"<email>{CANARY}</email>",
    }.items():
        yield Hostile(name, _text(text))


def _wrongly_encoded() -> Iterator[Hostile]:
    good = json.dumps(_GOOD)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037"):
        body = b"+AHs-" + good[1:].encode() if encoding == "utf-7" else good.encode(encoding)
        yield Hostile(encoding, body)
    yield Hostile("a byte that is no UTF-8", good.replace(CANARY, CANARY + "é").encode("latin-1"))
    yield Hostile("a surrogate in UTF-8", good.encode().replace(CANARY.encode(), CANARY.encode() + b"\xed\xa0\x80"))
    yield Hostile("an overlong slash", good.encode().replace(CANARY.encode(), CANARY.encode() + b"\xc0\xaf"))
    yield Hostile("random bytes", bytes(range(256)) * 4)
    yield Hostile("gzip", gzip.compress(good.encode()))


def _wrong_shapes() -> Iterator[Hostile]:
    shapes: dict[str, object] = {
        "an empty object": {},
        "an empty array": [],
        "null": None,
        "true": True,
        "a number": 42,
        "a string": CANARY,
        "the object in an array": [_GOOD],
        "the object as a string": json.dumps(_GOOD),
        "every field of every form": _GOOD,
        "a field of its own": {**_GOOD, CANARY: CANARY},
        "roles": {**_GOOD, "role": "admin", "roles": ["admin"], "is_admin": True, "id": 1},
        "a prototype": {**_GOOD, "__proto__": {CANARY: CANARY}, "constructor": {CANARY: 1}},
        "a thousand fields": {f"{CANARY}{n}": n for n in range(600)},
        "a long field name": {CANARY * 1_000: 1},
        "an empty field name": {"": CANARY},
        "a NUL in a field name": {f"{CANARY}\0": CANARY},
        "a surrogate in a field name": {f"{CANARY}\ud800": CANARY},
    }
    for missing in FIELDS:
        shapes[f"no {missing}"] = {field: value for field, value in _GOOD.items() if field != missing}
    for name, shape in shapes.items():
        yield Hostile(name, _text(json.dumps(shape)))


def _wrong_values() -> Iterator[Hostile]:
    values: dict[str, object] = {
        "null in every field": None,
        "true in every field": True,
        "numbers in every field": 1234,
        "fractions in every field": 12.34,
        "huge fractions in every field": 1e308,
        "arrays in every field": [CANARY, CANARY],
        "objects in every field": {"$ne": CANARY},
        "empty strings": "",
        "NUL in every field": f"{CANARY}\0{CANARY}",
        "a lone surrogate in every field": f"{CANARY}\ud800",
        "a backwards pair in every field": f"{CANARY}\udc00\ud800",
        "line ends in every field": f"{CANARY}@example.com\r\nBcc: x@example.org",
        "escape sequences in every field": f"\x1b[31m{CANARY}\x7f\x85",
        "Arabic digits in every field": "\u0661\u0662\u0663\u0664",
        "right-to-left in every field": f"\u202e{CANARY}",
        "line separators in every field": f"{CANARY}\u2028{CANARY}",
        "long strings in every field": CANARY * 100,
        "SQL in every field": f"{CANARY}'; DROP TABLE users; --",
        "a template in every field": f"{{{{{CANARY}}}}}${{{CANARY}}}%s%n",
    }
    for name, value in values.items():
        yield Hostile(name, _text(json.dumps(dict.fromkeys(FIELDS, value))))


def _wrong_types() -> Iterator[Hostile]:
    good = _text(json.dumps(_GOOD))
    for content_type in (
        None,
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/problem+json",
        f"{CANARY}/{CANARY}",
        "text/plain; application/json",
    ):
        yield Hostile(f"declared as {content_type}", good, content_type)
