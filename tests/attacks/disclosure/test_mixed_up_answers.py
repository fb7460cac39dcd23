"""threats.md, section 1 F, row 59: nobody gets another's answer, however slow servers and hasty callers are."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.support.requests.burst import Answer, _read, post
from tests.support.servers.slow_proxy import SlowProxy
from tests.support.service.process import Service, fresh_address
from tests.support.users.people import a_wrong_code, new_person

PEOPLE = 8
_LATE = (503, "unavailable")
"""What a request is told whose server did not answer in time."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what only the right answer to it says."""

    request: bytes
    expected: tuple[int, str]


def _answered(answer: Answer) -> tuple[int, str]:
    """Status, and whose answer it is: a login name, or how many guesses the flow that was asked about has left."""
    body: dict[str, Any] = answer.json
    if "access_token" in body:
        claims = body["access_token"].split(".")[1]
        body = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return answer.status, str(body.get("login", body.get("attempts_left", body.get("code"))))


def _get_me(token: str) -> bytes:
    lines = ["GET /me HTTP/1.1", "Host: localhost", "Connection: close", f"Authorization: Bearer {token}", "", ""]
    return "\r\n".join(lines).encode()


def _confirm(flow: str, session_key: str, code: str) -> bytes:
    return post(f"/{flow}/confirm", json.dumps({"session_key": session_key, "code": code}).encode())


def _questions(service: Service, count: int, chance: random.Random) -> list[Question]:
    """Requests of several people, mixed: their own profile, their own tokens, and a guess at their own flow."""
    people = [new_person(f"mixed-{number}") for number in range(PEOPLE)]
    with service.walker() as walk:
        for person in people:
            walk.register(person)
        tokens = {person.login: walk.log_in(person) for person in people}
        questions = []
        for number in range(count):
            person = people[number % PEOPLE]
            if number // PEOPLE % 4 == 0:
                key, code = walk.open_login(person)
                questions.append(Question(_confirm("login", key, code), (200, person.login)))
            elif number // PEOPLE % 4 == 1:
                key, code = walk.open_recovery(person)
                # Half of the flows have one wrong guess behind them, so that two flows have two answers.
                spent = number % 2
                for _ in range(spent):
                    assert walk.confirm("recover", key, a_wrong_code(code)).status_code == 400
                questions.append(Question(_confirm("recover", key, a_wrong_code(code)), (400, str(2 - spent))))
            else:
                questions.append(Question(_get_me(tokens[person.login]), (200, person.login)))
    chance.shuffle(questions)
    return questions


async def _ask(service: Service, question: Question, hang_up_after: float | None) -> tuple[int, str] | None:
    """Ask, and hang up with a reset after a while if told to; None for an answer that was not waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, local_addr=(fresh_address(), 0))
    writer.write(question.request)
    received = b""
    try:
        async with asyncio.timeout(hang_up_after if hang_up_after is not None else 30):
            while chunk := await reader.read(65_536):
                received += chunk
    except TimeoutError:
        assert hang_up_after is not None, "no answer within 30 s"
        # A reset, not a polite end: the service learns of it while it is busy with the request.
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return None
    writer.close()
    return _answered(_read(received))


async def _ask_all(
    service: Service, questions: list[Question], chance: random.Random, at_once: int
) -> list[tuple[Question, tuple[int, str] | None]]:
    room = asyncio.Semaphore(at_once)

    async def ask(question: Question, hang_up_after: float | None) -> tuple[Question, tuple[int, str] | None]:
        async with room:
            return question, await _ask(service, question, hang_up_after)

    patience = [chance.uniform(0, 0.6) if chance.random() < 0.5 else None for _ in questions]
    return await asyncio.gather(*(ask(*one) for one in zip(questions, patience, strict=True)))


def test_row_59_every_answer_is_its_own_though_half_the_callers_hang_up(
    stack: Stack, mailbox: Mailbox, tmp_path: Path, *, full_counts: bool
) -> None:
    chance = random.Random(59)
    stack.postgres.create_database("slow", template="migrated")
    with SlowProxy(stack.postgres.port, seed=1) as postgres, SlowProxy(stack.valkey.port, seed=2) as valkey:
        service = Service(stack, "slow", 250, tmp_path, workers=2, DATABASE_TIMEOUT="4", SESSION_MAX="1000")
        for name, proxy, port in (
            ("DATABASE_URL", postgres, stack.postgres.port),
            ("REDIS_URL", valkey, stack.valkey.port),
        ):
            service.environment[name] = service.environment[name].replace(f":{port}", f":{proxy.port}")
        service.start()
        try:
            questions = _questions(service, 2_000 if full_counts else 200, chance)
            postgres.delay = valkey.delay = 0.1
            # Longer than the service waits: a late answer must not be taken for that to the next question.
            valkey.often, valkey.long_delay = 0.04, 0.9
            answered = asyncio.run(_ask_all(service, questions, chance, at_once=40))
            postgres.delay = valkey.delay = 0
            service.wait_until_ready()
            with service.walker() as walk:
                person = new_person("afterwards")
                walk.register(person)
                assert walk.me(walk.log_in(person)).json()["login"] == person.login
        finally:
            service.kill()
    finished = [(question, answer) for question, answer in answered if answer is not None]
    # A server that answers too late is told by an honest 503; every other answer is the one to its own question.
    mixed_up = [
        (question.expected, answer) for question, answer in finished if answer not in (question.expected, _LATE)
    ]
    assert mixed_up == []
    told = Counter(answer == _LATE for _, answer in finished)
    assert told[False] >= len(questions) / 4
    assert len(answered) - len(finished) >= len(questions) / 8
    assert valkey.late >= 5
