"""The flows as data: what one `FlowSpec` needs, and that flows of the previous release are read."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from models.values.flow import SPECS, CodeRecipient, FlowSpec
from models.values.flow_data import (
    AccountData,
    DeletionData,
    EmailChangeData,
    FlowData,
    LoginData,
    RecoverData,
    RegisterData,
)
from models.values.locale import Locale

TEMPLATES = Path(__file__).parents[2] / "template_message"
USER = UUID("019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39")
ACCOUNT_JSON = b'{"user_id": "%s", "version": 3, "email": "alice@example.com", "locale": "ru"}' % str(USER).encode()
STORED = [
    (
        RegisterData(email="alice@example.com", login="Alice", locale=Locale.RU, password_hash="a hash"),
        b'{"email": "alice@example.com", "login": "Alice", "locale": "ru", "password_hash": "a hash"}',
    ),
    *(
        (data(user_id=USER, version=3, email="alice@example.com", locale=Locale.RU), ACCOUNT_JSON)
        for data in (LoginData, EmailChangeData, DeletionData)
    ),
    (RecoverData(email="alice@example.com"), b'{"email": "alice@example.com"}'),
    (
        RecoverData(email="alice@example.com", user_id=USER, version=3),
        b'{"email": "alice@example.com", "user_id": "%s", "version": 3}' % str(USER).encode(),
    ),
]


@pytest.mark.parametrize(("data", "stored"), STORED)
def test_a_flow_of_the_previous_release_is_read(data: FlowData, stored: bytes) -> None:
    assert type(data).from_json(stored) == data
    assert type(data).from_json(data.to_json()) == data


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_spec_is_complete(spec: FlowSpec[FlowData]) -> None:
    assert spec.recipient is not CodeRecipient.ACCOUNT or issubclass(spec.data, AccountData)
    assert bool(spec.taken_mail) == (spec.recipient is CodeRecipient.TYPED_UNLESS_TAKEN)
    for mail in filter(None, (spec.mail, spec.taken_mail)):
        for locale in Locale:
            assert (TEMPLATES / locale / mail / "subject.txt").is_file()
