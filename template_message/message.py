"""Puts a rendered mail into the form that travels: a MIME message with both of its bodies."""

import re
import secrets
from dataclasses import dataclass
from email.charset import QP, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import Compat32
from email.utils import format_datetime, formataddr, localtime, make_msgid, parseaddr
from typing import Final

from template_message.render import Rendered

# In seven bits every server takes the message as it is, and no relay has a reason to re-encode the line of the code.
READABLE: Final = Charset("utf-8")
READABLE.body_encoding = QP


class _AsWritten(Compat32):
    """Takes headers as they are: ours are short and ASCII, and to fold them is half of what a letter takes."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """One header, with its line end."""
        return f"{name}: {value}{self.linesep}".encode("ascii")


CRLF: Final = _AsWritten(linesep="\r\n")
# One dot-atom, one @, one domain (RFC 5321): no room for a second recipient, a comment or an SMTP command.
PLAIN_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,255}")
# A reader decodes `=?utf-8?q?=2C?=` in a header (RFC 2047) and would then see another address than SMTP did.
ENCODED_WORD: Final = "=?"


def is_plain_address(address: str) -> bool:
    """Tell whether this is one bare address, which means the same in SMTP and in a header."""
    return PLAIN_ADDRESS.fullmatch(address) is not None and ENCODED_WORD not in address


@dataclass(frozen=True, slots=True)
class Sender:
    """Who the mails come from: a bare address, or one with a name before it (`Example <no-reply@example.org>`)."""

    name: str
    address: str

    @classmethod
    def parse(cls, written: str) -> "Sender":
        """Read a sender as people write it, or raise ValueError."""
        name, address = parseaddr(written)
        if not is_plain_address(address):
            raise ValueError("the sender is not an e-mail address")
        return cls(name, address)

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.address.rpartition("@")[2]


def build_message(sender: Sender, to: str, mail: Rendered) -> bytes:
    """Write the whole message, headers and both bodies, to exactly one recipient."""
    # The older of the library's two interfaces: the newer one parses each header anew and costs many times as much.
    # Left to find a boundary, it would compile a regular expression for each letter.
    letter = MIMEMultipart("alternative", boundary=secrets.token_hex(16), policy=CRLF)
    letter["From"] = formataddr((sender.name, sender.address))
    letter["To"] = to
    subject = " ".join(mail.subject.splitlines())
    letter["Subject"] = (
        subject if subject.isascii() else Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
    )
    letter["Date"] = format_datetime(localtime())
    letter["Message-ID"] = make_msgid(domain=sender.domain)
    # RFC 3834: holiday notices and other machines do not answer a machine.
    letter["Auto-Submitted"] = "auto-generated"
    # The stubs know charsets by name only; by name it is base64: fine for a program, not for whoever opens the file.
    letter.attach(MIMEText(mail.text, "plain", READABLE, policy=CRLF))  # type: ignore[arg-type]
    letter.attach(MIMEText(mail.html, "html", "utf-8", policy=CRLF))
    return letter.as_bytes()
