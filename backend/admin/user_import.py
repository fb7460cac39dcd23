"""Moving people in: what a line must say, and what becomes of it. Moving out has no rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backend.audit import audit
from backend.passwords.hasher import is_unusable, unusable_password
from backend.passwords.imported_hashes import UnsupportedHash, password_verifier
from database.engine import Database, Db
from database.user_transfer import Outcome
from models.admin.roles import MOST_ROLES
from models.admin.user_transfer import UserRecord, parse_record
from models.context.audit import COMMAND_LINE, Event

LONGEST_LINE = 64 * 1024
"""Bytes; a user takes a few hundred."""

_REFUSALS: dict[Outcome, str] = {
    "login_taken": "login: belongs to another account",
    "id_taken": "id: belongs to another account",
    "free": "an account that was deleted at this moment was in its way; import it again",
}


@dataclass(frozen=True, slots=True)
class ImportLine:
    """One line of the file; of one that is longer than `LONGEST_LINE` the beginning, which is a little longer, too."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class ValidRecord:
    """Somebody whose line can be used."""

    number: int
    user: UserRecord


@dataclass(slots=True)
class ImportStats:
    """What was done so far."""

    imported: int = 0
    already_there: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class UserImport:
    """Adds accounts. One whose address is there already is left as it is, so that an import can be repeated."""

    database: Database
    trial: Db | None
    """Where nothing is written to but what this transaction forgets, in a dry run."""
    roles: frozenset[str]
    stats: ImportStats
    refuse: Callable[[int, str], None]
    """Told the number of each line that cannot be used, and why."""

    def validate(self, lines: Iterable[ImportLine]) -> list[ValidRecord]:
        """Who stands in the lines; blank ones are nobody, and those that cannot be used are refused."""
        arrivals = []
        for line in lines:
            if not line.text.strip():
                continue
            try:
                arrivals.append(ValidRecord(line.number, self._read(line.text)))
            except ValueError as refusal:
                self._refuse(line.number, str(refusal))
        return arrivals

    async def add(self, arrivals: Sequence[ValidRecord]) -> None:
        """Commit them, all or none; whoever is refused now was in the way of somebody else.

        Raises:
            Unavailable: PostgreSQL is away; whether this batch was committed is then unknown, and does not matter.
        """
        people = [arrival.user for arrival in arrivals]
        if self.trial:
            outcomes = await self.trial.user_transfers.try_out(people)
        else:
            async with self.database.transaction() as db:
                outcomes = await db.user_transfers.add(people)
                if added := outcomes.count("added"):
                    await audit(db, Event.USERS_IMPORTED, COMMAND_LINE, users=added)
        for arrival, outcome in zip(arrivals, outcomes, strict=True):
            if outcome == "added":
                self.stats.imported += 1
            elif outcome == "email_taken":
                self.stats.already_there += 1
            else:
                self._refuse(arrival.number, _REFUSALS[outcome])

    def _read(self, text: bytes) -> UserRecord:
        if len(text) > LONGEST_LINE:
            raise ValueError("is longer than 64 kB")
        user = parse_record(text)
        if not self.roles.issuperset(user.roles):
            raise ValueError("roles: must be names of roles that there are")
        if len(set(user.roles)) > MOST_ROLES:
            raise ValueError(f"roles: must be at most {MOST_ROLES}, for a token holds no more")
        if user.password_hash is None:
            return user.model_copy(update={"password_hash": unusable_password()})
        try:
            if not is_unusable(user.password_hash):
                password_verifier(user.password_hash)
        except UnsupportedHash as refusal:
            raise ValueError(f"password_hash: {refusal}") from None
        return user

    def _refuse(self, number: int, why: str) -> None:
        self.stats.refused += 1
        self.refuse(number, why)


@asynccontextmanager
async def open_import(
    database: Database, stats: ImportStats, refuse: Callable[[int, str], None], *, dry_run: bool
) -> AsyncIterator[UserImport]:
    """An import that is ready for its first line; a dry run says the same and leaves nothing behind.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    if not dry_run:
        async with database.statement() as db:
            roles = await db.user_transfers.roles()
        yield UserImport(database, None, roles, stats, refuse)
        return
    async with database.long_snapshot() as db:
        roles = await db.user_transfers.roles()
        await db.user_transfers.prepare_trial()
        yield UserImport(database, db, roles, stats, refuse)
