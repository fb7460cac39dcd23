"""What every mail promises in every language, and what a hostile value cannot do to it."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from itertools import product
from typing import Any

import pytest
from jinja2 import UndefinedError

from backend.mail.notices import Notice
from models.values.flow import SPECS
from models.values.locale import Locale
from template_message.message import Sender, build_message, is_plain_address
from template_message.render import HERE, MailTemplates, Rendered, counted

LOCALES = tuple(Locale)
CODE_MAILS = tuple(spec.mail for spec in SPECS.values())
TAKEN_MAILS = tuple(spec.taken_mail for spec in SPECS.values() if spec.taken_mail)
NOTICES = (*TAKEN_MAILS, *Notice)
WITHOUT_A_MOMENT = (*TAKEN_MAILS, Notice.INVITATION)
"""Mails that do not say when something happened."""
RESCUE = "MZXW6YTBOI4DAMZXW6YTBOI4DA"
VALUES: dict[str, dict[str, Any]] = {
    **{mail: {"code": "0427", "minutes": 10, "rescue": RESCUE} for mail in CODE_MAILS},
    **{mail: {"login": "1234567", "when": datetime(2026, 3, 5, 14, 7, tzinfo=UTC)} for mail in NOTICES},
    **{mail: {"login": "1234567"} for mail in WITHOUT_A_MOMENT},
}
every_mail = pytest.mark.parametrize(("locale", "mail"), list(product(LOCALES, VALUES)))


@pytest.fixture(scope="module")
def templates() -> MailTemplates:
    # A service called by a number is the hardest name for the rule of the lone digits.
    return MailTemplates("42")


def digit_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().isdigit()]


@every_mail
def test_only_the_code_stands_alone_on_a_line(templates: MailTemplates, locale: str, mail: str) -> None:
    text = templates.render(mail, locale, **VALUES[mail]).text
    assert digit_lines(text) == (["0427"] if mail in CODE_MAILS else [])
    assert ("0427" in text.splitlines()) == (mail in CODE_MAILS)


@pytest.mark.parametrize(("locale", "mail"), list(product(LOCALES, CODE_MAILS)))
def test_a_rescue_code_stands_alone_on_a_line_and_leaves_no_gap_when_there_is_none(
    templates: MailTemplates, locale: str, mail: str
) -> None:
    pressed = templates.render(mail, locale, **VALUES[mail])
    calm = templates.render(mail, locale, **VALUES[mail] | {"rescue": ""})
    assert RESCUE in pressed.text.splitlines()
    assert RESCUE in pressed.html
    assert "\n\n\n" not in pressed.text + calm.text
    assert len(calm.text.splitlines()) < len(pressed.text.splitlines())


@every_mail
def test_the_subject_is_one_line_without_the_code(templates: MailTemplates, locale: str, mail: str) -> None:
    subject = templates.render(mail, locale, **VALUES[mail]).subject
    assert subject == subject.strip() != ""
    assert len(subject.splitlines()) == 1
    assert "0427" not in subject
    assert "42" in subject


@every_mail
def test_html_and_text_say_the_same(templates: MailTemplates, locale: str, mail: str) -> None:
    rendered = templates.render(mail, locale, **VALUES[mail])
    body = rendered.html.partition("<body")[2].replace("&nbsp;", " ")
    said = re.sub(r"<[^>]*>", " ", "<body" + body)
    assert re.findall(r"\w+", said) == re.findall(r"\w+", rendered.text)


@every_mail
def test_html_asks_for_nothing_from_outside(templates: MailTemplates, locale: str, mail: str) -> None:
    html = templates.render(mail, locale, **VALUES[mail]).html
    assert f'<html lang="{locale}">' in html
    assert not re.search(r"https?:|//|src=|href=|url\(|<script|<link", html)


@every_mail
def test_russian_is_russian_and_english_is_english(templates: MailTemplates, locale: str, mail: str) -> None:
    rendered = templates.render(mail, locale, **VALUES[mail])
    for part in (rendered.subject, rendered.text, rendered.html):
        assert bool(re.search(r"[\u0430-\u044f]", part)) == (locale == "ru")


@pytest.mark.parametrize(
    ("locale", "mail"), [(locale, mail) for locale, mail in product(LOCALES, VALUES) if locale != "en"]
)
def test_no_sentence_is_left_in_english(templates: MailTemplates, locale: str, mail: str) -> None:
    translated, english = (templates.render(mail, it, **VALUES[mail]) for it in (locale, "en"))
    lines = [{line for line in (it.subject, *it.text.splitlines()) if " " in line} for it in (translated, english)]
    assert lines[0] & lines[1] == set()


def test_every_language_has_every_mail_and_no_other() -> None:
    folders = {(path.parent.parent.name, path.parent.name) for path in HERE.glob("*/*/subject.txt")}
    assert folders == set(product(LOCALES, VALUES))


@pytest.mark.parametrize("mail", NOTICES)
def test_html_escapes_a_hostile_login_and_text_leaves_it(templates: MailTemplates, mail: str) -> None:
    hostile = "<img src=x onerror=\"alert('1')\">&"
    rendered = templates.render(mail, "en", **VALUES[mail] | {"login": hostile})
    assert "<img" not in rendered.html
    assert "&lt;img src=x onerror=&#34;alert(&#39;1&#39;)&#34;&gt;&amp;" in rendered.html
    assert hostile in rendered.text


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\N{LINE SEPARATOR}", "\x0b"])
def test_a_value_cannot_forge_a_line_with_a_code(templates: MailTemplates, line_break: str) -> None:
    login = f"mallory{line_break}6666{line_break}"
    assert digit_lines(templates.render("account_exists", "en", login=login).text) == []


def test_a_service_name_cannot_break_the_subject_line() -> None:
    subject = (
        MailTemplates("Shop\r\nBcc: mallory@example.org")
        .render("login_code", "en", code="1", minutes=1, rescue="")
        .subject
    )
    assert subject == "Confirm your login to Shop Bcc: mallory@example.org"


@pytest.mark.parametrize("locale", ["xx", "", "EN", "../en", "ru/login_code"])
def test_an_unknown_language_becomes_english(templates: MailTemplates, locale: str) -> None:
    mail = templates.render("login_code", locale, **VALUES["login_code"])
    assert mail == templates.render("login_code", "en", **VALUES["login_code"])


@pytest.mark.parametrize("mail", ["", "nonesuch", "../en/login_code", "login_code/subject.txt"])
def test_an_unknown_mail_raises(templates: MailTemplates, mail: str) -> None:
    with pytest.raises(LookupError):
        templates.render(mail, "en")


@every_mail
def test_a_forgotten_value_raises_instead_of_leaving_a_gap(templates: MailTemplates, locale: str, mail: str) -> None:
    for forgotten in VALUES[mail]:
        with pytest.raises(UndefinedError):
            templates.render(mail, locale, **{name: value for name, value in VALUES[mail].items() if name != forgotten})


@pytest.mark.parametrize(
    ("locale", "written"), [("en", "05 March 2026 at 14:07 UTC"), ("ru", "05.03.2026 в 14:07 UTC")]
)
def test_a_moment_is_written_in_utc_whatever_its_zone(templates: MailTemplates, locale: str, written: str) -> None:
    when = datetime(2026, 3, 5, 17, 7, tzinfo=timezone(timedelta(hours=3)))
    assert written in templates.render("password_changed", locale, login="alice", when=when).text


def test_nouns_agree_with_their_numbers() -> None:
    russian = {number: counted(number, "минуту", "минуты", "минут") for number in (1, 3, 5, 11, 12, 21, 22, 111)}
    assert [phrase.split()[1] for phrase in russian.values()] == (
        ["минуту", "минуты", "минут", "минут", "минут", "минуту", "минуты", "минут"]
    )
    assert [counted(number, "minute", "minutes") for number in (1, 2)] == ["1\xa0minute", "2\xa0minutes"]


@every_mail
def test_a_letter_arrives_as_it_was_rendered(templates: MailTemplates, locale: str, mail: str) -> None:
    rendered = templates.render(mail, locale, **VALUES[mail])
    wire = build_message(Sender.parse("Вход <no-reply@example.org>"), "bob@example.com", rendered)
    assert wire.isascii()
    assert max(map(len, wire.split(b"\r\n"))) <= 998  # RFC 5322 §2.1.1
    letter = message_from_bytes(wire, policy=policy.default)
    # Mail travels with CRLF, whatever the templates end their lines with.
    text, html = (part.get_content().replace("\r\n", "\n") for part in letter.iter_parts())
    assert Rendered(letter["Subject"], text, html) == rendered
    assert letter["From"].addresses[0].display_name == "Вход"


@pytest.mark.parametrize(
    "address",
    [
        "bob@example.com\r\nBcc: mallory@example.org",
        "bob@example.com\n",
        "bob@example.com\0",
        "bob@example.com,mallory@example.org",
        "bob@example.com> AUTH=<mallory@example.org",
        "bob@mallory.example@example.com",
        "Bob <bob@example.com>",
        "bob(comment)@example.com",
        '"bob"@example.com',
        "bob @example.com",
        "=?utf-8?q?mallory=40example.org=2C?=@example.com",
        "b\N{LATIN SMALL LETTER O WITH STROKE}b@example.com",
        "bob",
        "",
    ],
)
def test_what_is_not_one_bare_address_is_no_address(address: str) -> None:
    assert not is_plain_address(address)


def test_a_sender_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="sender"):
        Sender.parse("No Reply")
