"""Imports users: validates each line of the file, and adds the accounts in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backend.audit import audit
from backend.passwords.hasher import is_unusable, unusable_password
from backend.passwords.imported_hashes import UnsupportedHash, password_verifier
from database.engine import Database
from database.repositories import Db
from database.user_transfer import ImportOutcome
from models.admin.roles import MOST_ROLES
from models.admin.user_transfer import UserRecord, parse_record
from models.context.audit import COMMAND_LINE, Event

LONGEST_LINE = 64 * 1024
"""Bytes; a user takes a few hundred."""

_REFUSALS: dict[ImportOutcome, str] = {
    "login_taken": "login: belongs to another account",
    "id_taken": "id: belongs to another account",
    "free": "conflicted with an account that was deleted at this moment; import it again",
}


@dataclass(frozen=True, slots=True)
class ImportLine:
    """One line of the file. If it is longer than `LONGEST_LINE`, only its start is kept, which is still too long."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class ValidRecord:
    """A line that can be imported."""

    number: int
    user: UserRecord


@dataclass(slots=True)
class ImportStats:
    """How many lines were imported, skipped and refused so far."""

    imported: int = 0
    already_there: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class UserImport:
    """Adds accounts. An existing account of the same address is left as it is, so that an import can be repeated."""

    database: Database
    dry_run_db: Db | None
    """In a dry run, its one transaction, which writes to a temporary table only."""
    roles: frozenset[str]
    stats: ImportStats
    on_refused: Callable[[int, str], None]
    """Called with the number of each line that cannot be imported, and the reason."""

    def validate(self, lines: Iterable[ImportLine]) -> list[ValidRecord]:
        """Return the valid records; blank lines are skipped, and lines that cannot be imported are refused."""
        records = []
        for line in lines:
            if not line.text.strip():
                continue
            try:
                records.append(ValidRecord(line.number, self._parse(line.text)))
            except ValueError as refusal:
                self._refuse(line.number, str(refusal))
        return records

    async def add(self, records: Sequence[ValidRecord]) -> None:
        """Add a batch in one transaction; a record is refused if its login or id belongs to another account.

        Raises:
            Unavailable: PostgreSQL is unavailable; the batch may have been committed, and can be imported again.
        """
        users = [record.user for record in records]
        if self.dry_run_db:
            outcomes = await self.dry_run_db.user_transfers.dry_run(users)
        else:
            async with self.database.transaction() as db:
                outcomes = await db.user_transfers.create(users)
                if added := outcomes.count("added"):
                    await audit(db, Event.USERS_IMPORTED, COMMAND_LINE, users=added)
        for record, outcome in zip(records, outcomes, strict=True):
            if outcome == "added":
                self.stats.imported += 1
            elif outcome == "email_taken":
                self.stats.already_there += 1
            else:
                self._refuse(record.number, _REFUSALS[outcome])

    def _parse(self, text: bytes) -> UserRecord:
        if len(text) > LONGEST_LINE:
            raise ValueError("is longer than 64 kB")
        user = parse_record(text)
        if not self.roles.issuperset(user.roles):
            raise ValueError("roles: must be names of existing roles")
        if len(set(user.roles)) > MOST_ROLES:
            raise ValueError(f"roles: must be at most {MOST_ROLES}, because a token holds no more")
        if user.password_hash is None:
            return user.model_copy(update={"password_hash": unusable_password()})
        try:
            if not is_unusable(user.password_hash):
                password_verifier(user.password_hash)
        except UnsupportedHash as refusal:
            raise ValueError(f"password_hash: {refusal}") from None
        return user

    def _refuse(self, number: int, reason: str) -> None:
        self.stats.refused += 1
        self.on_refused(number, reason)


@asynccontextmanager
async def open_import(
    database: Database, stats: ImportStats, on_refused: Callable[[int, str], None], *, dry_run: bool
) -> AsyncIterator[UserImport]:
    """Open an import; a dry run gives the same answers and changes nothing.

    Raises:
        Unavailable: PostgreSQL is unavailable.
    """
    if not dry_run:
        async with database.statement() as db:
            roles = await db.user_transfers.list_role_names()
        yield UserImport(database, None, roles, stats, on_refused)
        return
    async with database.long_snapshot() as db:
        roles = await db.user_transfers.list_role_names()
        await db.user_transfers.prepare_dry_run()
        yield UserImport(database, db, roles, stats, on_refused)
