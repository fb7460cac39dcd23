"""The mailbox: a real SMTP server that keeps what it accepts."""

from __future__ import annotations

import smtplib
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from devstack.mailbox import Mail, Mailbox
from devstack.processes import DevstackError


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    server = Mailbox(tmp_path / "mail")
    server.start()
    yield server
    server.stop()


def letter(
    to: str = "bob@example.org", text: str = "Your code:\n\n0042\n\nIt is good for 10 minutes.\n"
) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "auth@localhost", to, "Ваш код"
    message.set_content(text)
    message.add_alternative("<p>0042</p>", subtype="html")
    return message


def send(mailbox: Mailbox, *messages: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", mailbox.port, timeout=5) as client:
        for message in messages:
            client.send_message(message)


def test_a_mail_is_saved_and_read(mailbox: Mailbox) -> None:
    send(mailbox, letter())
    mail = mailbox.wait_for("Bob@Example.org")
    assert (mail.to, mail.subject, mail.code) == ("bob@example.org", "Ваш код", "0042")
    assert "good for 10 minutes" in mail.text
    assert mail.html == "<p>0042</p>\n"
    assert mail.path.name.endswith("Z-bob@example.org.eml")
    assert b"Subject:" in mail.path.read_bytes()
    assert list(mailbox.folder.iterdir()) == [mail.path]


@pytest.mark.parametrize(
    ("text", "code"),
    [("1234\n", "1234"), ("  123456789012  \n", "123456789012"), ("code 1234\n", None), ("123\n1234567890123\n", None)],
)
def test_the_code_is_the_line_that_is_digits_alone(mailbox: Mailbox, text: str, code: str | None) -> None:
    send(mailbox, letter(text=text))
    assert mailbox.wait_for("bob@example.org").code == code


def test_each_recipient_has_a_file_whose_name_cannot_leave_the_folder(mailbox: Mailbox) -> None:
    with smtplib.SMTP("127.0.0.1", mailbox.port, timeout=5) as client:
        client.sendmail("auth@localhost", ["../../evil@example.org", "bob@example.org"], letter().as_bytes())
    assert [mail.to for mail in mailbox.mails()] == ["../../evil@example.org", "bob@example.org"]
    assert {mail.path.parent for mail in mailbox.mails()} == {mailbox.folder}
    assert len(list(mailbox.folder.glob("*.eml"))) == 2


def test_replies_are_scripted_by_recipient_and_at_any_time(mailbox: Mailbox) -> None:
    mailbox.reply = lambda to: "450 4.2.0 try later" if to.startswith("bob") else None
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        send(mailbox, letter())
    assert refusal.value.recipients == {"bob@example.org": (450, b"4.2.0 try later")}
    send(mailbox, letter("alice@example.org"))
    mailbox.reply = lambda _: None
    send(mailbox, letter())
    assert [mail.to for mail in mailbox.mails()] == ["alice@example.org", "bob@example.org"]


def test_waiting_takes_the_newest_and_says_how_many_came(mailbox: Mailbox) -> None:
    later = threading.Timer(0.2, send, (mailbox, letter(text="1111\n"), letter(text="2222\n")))
    later.start()
    assert mailbox.wait_for("bob@example.org", count=2, timeout=5).code == "2222"
    with pytest.raises(TimeoutError, match=r"2 of 3 mails to bob@example\.org came within 0.1 s"):
        mailbox.wait_for("bob@example.org", count=3, timeout=0.1)


def test_a_stopped_mailbox_cuts_and_refuses_and_comes_back_on_its_port(mailbox: Mailbox) -> None:
    send(mailbox, letter())
    lasting = smtplib.SMTP("127.0.0.1", mailbox.port, timeout=5)
    mailbox.stop()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        lasting.noop()
    with pytest.raises(ConnectionRefusedError):
        send(mailbox, letter())
    mailbox.start()
    send(mailbox, letter())
    assert len(mailbox.mails("bob@example.org")) == 2


def test_a_taken_port_is_refused_in_a_sentence(mailbox: Mailbox, tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match=f"cannot listen on port {mailbox.port}"):
        Mailbox(tmp_path / "other", mailbox.port).start()


def test_a_megabyte_is_accepted_and_two_are_not(mailbox: Mailbox) -> None:
    line = "x" * 70 + "\n"
    send(mailbox, letter(text=line * (1_000_000 // 72)))
    with pytest.raises(smtplib.SMTPResponseException) as refusal:
        send(mailbox, letter(text=line * (2_000_000 // 72)))
    assert refusal.value.smtp_code == 552
    assert len(mailbox.mails()) == 1


def test_a_listener_hears_of_each_mail_and_cannot_spoil_it(tmp_path: Path) -> None:
    heard: list[Mail] = []

    def listen(mail: Mail) -> None:
        heard.append(mail)
        raise RuntimeError("the listener is broken")

    mailbox = Mailbox(tmp_path / "mail", on_mail=listen)
    mailbox.start()
    try:
        send(mailbox, letter())
        assert heard == mailbox.mails()
    finally:
        mailbox.stop()


def test_hundreds_of_mails_a_second_are_no_burden(mailbox: Mailbox) -> None:
    messages = [letter(f"user{number}@example.org") for number in range(300)]
    began = time.monotonic()
    senders = [threading.Thread(target=send, args=(mailbox, *messages[part::3])) for part in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len({mail.path for mail in mailbox.mails()}) == 300
    # The senders work in the same interpreter, on a machine that may be busy.
    assert time.monotonic() - began < 10
