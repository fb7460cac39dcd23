"""Renders the mails: templates `<locale>/<mail>/{subject.txt,body.txt,body.html}` to subject, text and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

HERE: Final = Path(__file__).parent
FALLBACK_LOCALE: Final = "en"
NO_BREAK_SPACE: Final = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One mail in one language. The subject is a single line; a code stands alone on a line of the text."""

    subject: str
    text: str
    html: str


class MailTemplates:
    """Every mail in every language, read and compiled once: a broken template stops the start."""

    def __init__(self, service: str) -> None:
        """``service`` is the name of the service in the mails."""
        environment = Environment(
            loader=FileSystemLoader(HERE),
            autoescape=select_autoescape(enabled_extensions=("html",), default=False),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        environment.filters |= {"counted": counted, "moment": moment}
        self._service = service
        self._mails = {
            (folder.parent.name, folder.name): [
                environment.get_template(f"{folder.parent.name}/{folder.name}/{part}")
                for part in ("subject.txt", "body.txt", "body.html")
            ]
            for folder in HERE.glob("*/*/")
            if (folder / "subject.txt").exists()
        }

    def render(self, mail: str, locale: str, **values: object) -> Rendered:
        """Render one mail, in English if it does not exist in the language.

        Raises:
            LookupError: there is no such mail.
        """
        language = locale if (locale, mail) in self._mails else FALLBACK_LOCALE
        if (language, mail) not in self._mails:
            raise LookupError(f"there is no mail {mail!r}")
        context = {"service": self._service, "locale": language} | values
        lines = {name: _on_one_line(value) for name, value in context.items()}
        subject, text, html = (template.render(lines) for template in self._mails[language, mail])
        return Rendered(" ".join(subject.splitlines()).strip(), text, html)


def counted(number: int, one: str, few: str, many: str | None = None) -> str:
    """Return number and noun: two forms of the noun for English, three for Russian (1 минуту, 2 минуты, 5 минут)."""
    last, teen = number % 10, number % 100 in range(11, 15)
    if many is None:
        noun = one if number == 1 else few
    elif last == 1 and not teen:
        noun = one
    elif last in (2, 3, 4) and not teen:
        noun = few
    else:
        noun = many
    return f"{number}{NO_BREAK_SPACE}{noun}"


def moment(when: object, layout: str) -> str:
    """Format a point in time in UTC; return other values as text."""
    return when.astimezone(UTC).strftime(layout) if isinstance(when, datetime) else str(when)


def _on_one_line(value: object) -> object:
    """Remove line ends from a value: a line of digits in a login would look like the code."""
    return " ".join(value.splitlines()) if isinstance(value, str) else value
