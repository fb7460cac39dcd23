"""What a group of settings refuses, and that it does not repeat what was written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from models.settings.mail import SmtpSettings


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "smtp://",
        "http://user:secret@host",
        "smtp://user:sec/ret@host",
        "smtp://u:secret@host:99999",
        "smtp://u:secret@host?verify=no",
        "smtp://u:secret@host/path",
        "smtp://u:secret@a..b",
        "smtps://u:secret@host?ca=/secret.pem",
    ],
)
def test_a_bad_smtp_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        SmtpSettings.model_validate({"url": f"smtp://localhost,{url}"})
    [told] = refusal.value.errors(include_url=False, include_input=False, include_context=False)
    assert told["loc"] == ("url",)
    assert "sec" not in told["msg"]


@pytest.mark.parametrize(
    "url", ["smtp://localhost", "smtps://u:p%40ss@mail.example.com:465", "smtp+starttls://[::1]:587"]
)
def test_a_good_smtp_url_is_taken(url: str) -> None:
    assert [one.get_secret_value() for one in SmtpSettings.model_validate({"url": url}).url] == [url]
