"""The service is killed while mail waits or is in a worker's hand: no mail is lost, and the newest code works."""

from __future__ import annotations

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.conftest import Serving
from tests.faults.conftest import BehindProxies
from tests.support.servers.proxy import Hold, Proxy
from tests.support.state.database_inspector import inspect_database
from tests.support.users.people import Walker
from tests.support.users.waiting_flows import Trio, a_trio, skip_the_back_off

END_OF_MAIL = b"\r\n.\r\n"


def test_mail_that_waits_for_smtp_outlives_a_kill(fragile_serving: Serving, mailbox: Mailbox) -> None:
    with fragile_serving() as service, service.walker() as walk, inspect_database(service) as db:
        trio = a_trio(walk)
        mailbox.stop()
        flows = trio.open(walk)
        service.kill()
        mailbox.start()
        service.start()
        skip_the_back_off(db)
        db.wait_until_all_mail_has_left()
        for flow in flows:
            (code,) = flow.codes(mailbox)
            flow.confirm(walk, code)


def test_mail_in_a_workers_hand_outlives_a_kill(
    fragile: Stack, behind_proxies: BehindProxies, mailbox: Mailbox
) -> None:
    with (
        Proxy(mailbox.port) as smtp,
        behind_proxies(smtp=smtp, SMTP_CONNECTIONS="6") as service,
        service.client() as client,
        inspect_database(service) as db,
    ):
        walk = Walker(client, mailbox)
        unlucky, unheard = a_trio(walk), a_trio(walk)
        db.wait_until_all_mail_has_left()
        # Of six mails three never reach the server, and three do with nobody left to hear that they did.
        holds = _hold_mail_of(unlucky, smtp)
        flows = unlucky.open(walk)
        for hold in holds:
            hold.wait()
        holds_of_answers = _hold_mail_of(unheard, smtp, answers=True)
        flows_mailed = unheard.open(walk)
        for hold in holds_of_answers:
            hold.wait()
        service.kill()
        for hold in holds + holds_of_answers:
            hold.let_go(forward=False)

        service.start()
        db.wait_until_all_mail_has_left()
        for flow in flows:
            (code,) = flow.codes(mailbox)
            flow.confirm(walk, code)
        for flow in flows_mailed:
            old, new = flow.codes(mailbox)
            if old != new:
                refused = walk.confirm(flow.name, flow.session_key, old)
                assert (refused.status_code, refused.json()["code"]) == (400, "wrong_code")
            flow.confirm(walk, new)


def _hold_mail_of(trio: Trio, smtp: Proxy, *, answers: bool = False) -> list[Hold]:
    """Hold each person's next mail back, or the server's word that it has it."""
    return [smtp.hold(person.email.encode(), END_OF_MAIL, answer=answers) for person, _ in trio.forms.values()]
