"""Builds a MIME message of a rendered mail, with both of its bodies."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from email.charset import QP, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.policy import Compat32
from email.utils import format_datetime, formataddr, localtime, make_msgid, parseaddr
from typing import Final

from template_message.render import Rendered

# In seven bits every server takes the message as it is, and no relay has a reason to re-encode the line of the code.
# Quoted-printable, not the base64 of Python's "utf-8": the code is readable in the raw message, too.
READABLE: Final = Charset("utf-8")
READABLE.body_encoding = QP


class _AsWritten(Compat32):
    """Writes headers as they are: ours are short and ASCII, and folding takes half of the time of a message."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """Return one header with its line end."""
        return f"{name}: {value}{self.linesep}".encode("ascii")


CRLF: Final = _AsWritten(linesep="\r\n")
# One dot-atom, one @, one domain (RFC 5321): no second recipient, comment or SMTP command fits in.
PLAIN_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,255}")
# A mail reader decodes `=?utf-8?q?=2C?=` in a header (RFC 2047), and would show another address than SMTP used.
ENCODED_WORD: Final = "=?"


def is_plain_address(address: str) -> bool:
    """Tell whether this is one bare address, with the same meaning in SMTP and in a header."""
    return PLAIN_ADDRESS.fullmatch(address) is not None and ENCODED_WORD not in address


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of all mails: an address, perhaps with a name before it (`Example <no-reply@example.org>`)."""

    name: str
    address: str

    @classmethod
    def parse(cls, written: str) -> Sender:
        """Read a sender as it is written in settings.

        Raises:
            ValueError: the address is not one bare address.
        """
        name, address = parseaddr(written)
        if not is_plain_address(address):
            raise ValueError("the sender is not an e-mail address")
        return cls(name, address)

    @property
    def domain(self) -> str:
        """Return the part after the @."""
        return self.address.rpartition("@")[2]


def build_message(sender: Sender, to: str, mail: Rendered) -> bytes:
    """Return the whole message, headers and both bodies, to exactly one recipient."""
    # The older of the library's two interfaces: the newer one parses each header again and takes many times as long.
    # Without a boundary, the library would compile a regular expression for each message to find one.
    message = MIMEMultipart("alternative", boundary=secrets.token_hex(16), policy=CRLF)
    message["From"] = formataddr((sender.name, sender.address))
    message["To"] = to
    subject = " ".join(mail.subject.splitlines())
    message["Subject"] = (
        subject if subject.isascii() else Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
    )
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = make_msgid(domain=sender.domain)
    # RFC 3834: holiday notices and other machines do not answer a machine.
    message["Auto-Submitted"] = "auto-generated"
    text = MIMENonMultipart("text", "plain", charset="utf-8", policy=CRLF)
    text.set_payload(mail.text, READABLE)
    message.attach(text)
    message.attach(MIMEText(mail.html, "html", "utf-8", policy=CRLF))
    return message.as_bytes()
