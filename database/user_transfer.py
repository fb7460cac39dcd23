"""Import and export of accounts, in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    case,
    column,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.types import TypeEngine, Uuid

from database.repository import Repository
from database.tables import roles, user_roles, users
from database.users import ROLES
from models.admin.user_transfer import UserRecord
from models.values.locale import Locale
from models.values.login import canonical_login

ImportOutcome = Literal["added", "email_taken", "login_taken", "id_taken", "free"]
"""What became of a record. "free" is rare: the account that was in the way was deleted at that moment."""

_Key = tuple[UUID, str, str]

_PAGE = 1000

_dry_run_users = users.to_metadata(MetaData(), name="dry_run_users")
_CREATE_DRY_RUN_TABLE = text("CREATE TEMPORARY TABLE dry_run_users (LIKE users INCLUDING ALL) ON COMMIT DROP")

# One array a column: a batch is one statement, whatever its length.
_COLUMNS: dict[str, TypeEngine[Any]] = {
    "id": Uuid(),
    "email": Text(),
    "login": Text(),
    "login_canonical": Text(),
    "password_hash": Text(),
    "locale": Text(),
    "created_at": users.c.created_at.type,
    "blocked": Boolean(),
}
_records = (
    func.unnest(*(bindparam(name, type_=ARRAY(column_type)) for name, column_type in _COLUMNS.items()))
    .table_valued(*(column(name, column_type) for name, column_type in _COLUMNS.items()), with_ordinality="line")
    .render_derived("records")
)


def _keys(table: Table) -> tuple[Column[UUID], Column[str], Column[str]]:
    return table.c.id, table.c.email, table.c.login_canonical


def _create_in(table: Table) -> ReturningInsert[UUID, str, str]:
    values: dict[str, ColumnElement[Any]] = {name: _records.c[name] for name in _COLUMNS if name != "blocked"}
    values["blocked_at"] = case((_records.c.blocked, func.now()))
    # In the order of the lines: of two records with one login the first gets it, however often the import is repeated.
    source = select(*values.values()).order_by(_records.c.line)
    return insert(table).from_select([*values], source).on_conflict_do_nothing().returning(*_keys(table))


def _taken_in(table: Table) -> Select[UUID, str, str]:
    return select(*_keys(table)).where(
        or_(
            table.c.email == func.any(bindparam("emails", type_=ARRAY(Text))),
            table.c.login_canonical == func.any(bindparam("logins", type_=ARRAY(Text))),
            table.c.id == func.any(bindparam("ids", type_=ARRAY(Uuid))),
        )
    )


_CREATE, _CREATE_DRY_RUN = _create_in(users), _create_in(_dry_run_users)
_TAKEN, _TAKEN_IN_DRY_RUN = _taken_in(users), _taken_in(_dry_run_users)
_GRANT = insert(user_roles)
_LIST = select(users, ROLES).order_by(users.c.id)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Ids, addresses and logins that existing accounts have."""

    ids: set[UUID]
    emails: set[str]
    logins: set[str]

    def outcome(self, user: UserRecord) -> ImportOutcome:
        """Return what becomes of a record that is added now."""
        if user.email in self.emails:
            return "email_taken"
        if canonical_login(user.login) in self.logins:
            return "login_taken"
        return "id_taken" if user.id in self.ids else "free"


def _key(user: UserRecord) -> _Key:
    return user.id, user.email, canonical_login(user.login)


class UserTransferRepo(Repository):
    """Creates and reads accounts in batches."""

    async def list_role_names(self) -> frozenset[str]:
        """Return the names of all roles."""
        return frozenset((await self._connection.execute(select(roles.c.name))).scalars())

    async def count(self) -> int:
        """Return the number of accounts."""
        return (await self._connection.execute(select(func.count()).select_from(users))).scalar_one()

    async def create(self, records: Sequence[UserRecord]) -> list[ImportOutcome]:
        """Create the accounts that can be created, with their roles; return what became of each record."""
        outcomes = await self._outcomes(_TAKEN, records, await self._insert(_CREATE, records))
        added = [user for user, outcome in zip(records, outcomes, strict=True) if outcome == "added"]
        if grants := [{"user_id": user.id, "role": role} for user in added for role in dict.fromkeys(user.roles)]:
            await self._connection.execute(_GRANT, grants)
        return outcomes

    async def prepare_dry_run(self) -> None:
        """Create the temporary table of this transaction that `dry_run` writes to."""
        await self._connection.execute(_CREATE_DRY_RUN_TABLE)

    async def dry_run(self, records: Sequence[UserRecord]) -> list[ImportOutcome]:
        """Return what `create` would, had it created the records of earlier calls in this transaction."""
        outcomes = await self._outcomes(_TAKEN, records, set())
        free = [user for user, outcome in zip(records, outcomes, strict=True) if outcome == "free"]
        tried = iter(await self._outcomes(_TAKEN_IN_DRY_RUN, free, await self._insert(_CREATE_DRY_RUN, free)))
        return [next(tried) if outcome == "free" else outcome for outcome in outcomes]

    async def stream(self) -> AsyncIterator[UserRecord]:
        """Yield every account, by id, with one page in memory at a time."""
        async with self._connection.stream(_LIST, execution_options={"yield_per": _PAGE}) as rows:
            async for row in rows:
                yield UserRecord.model_construct(
                    email=row.email,
                    login=row.login,
                    password_hash=row.password_hash,
                    locale=Locale(row.locale),
                    roles=list(row.roles),
                    blocked=row.blocked_at is not None,
                    created_at=row.created_at,
                    id=row.id,
                )

    async def _insert(self, statement: ReturningInsert[UUID, str, str], records: Sequence[UserRecord]) -> set[_Key]:
        values = {name: [getattr(user, name, None) for user in records] for name in _COLUMNS}
        values["login_canonical"] = [canonical_login(user.login) for user in records]
        values["locale"] = [user.locale.value for user in records]
        return {(row[0], row[1], row[2]) for row in await self._connection.execute(statement, values)}

    async def _outcomes(
        self, taking: Select[UUID, str, str], records: Sequence[UserRecord], added: set[_Key]
    ) -> list[ImportOutcome]:
        is_added = []
        for user in records:
            # Of two equal records the first was added.
            is_added.append(_key(user) in added)
            added.discard(_key(user))
        rest = [user for user, there in zip(records, is_added, strict=True) if not there]
        taken = await self._taken(taking, rest) if rest else _Taken(set(), set(), set())
        return ["added" if there else taken.outcome(user) for user, there in zip(records, is_added, strict=True)]

    async def _taken(self, taking: Select[UUID, str, str], wanted: Sequence[UserRecord]) -> _Taken:
        keys = {
            "ids": [user.id for user in wanted],
            "emails": [user.email for user in wanted],
            "logins": [canonical_login(user.login) for user in wanted],
        }
        rows = (await self._connection.execute(taking, keys)).all()
        ids, emails, logins = zip(*rows, strict=True) if rows else ((), (), ())
        return _Taken(set(ids), set(emails), set(logins))
