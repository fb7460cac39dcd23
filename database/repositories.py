"""The repositories of one connection."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from database.audit import AuditRepo
from database.guess_budgets import LadderRepo
from database.mail.outbox import OutboxRepo
from database.mail.outbox_search import OutboxSearchRepo
from database.roles import RoleRepo
from database.sessions import SessionRepo
from database.signing_keys import SigningKeyRepo
from database.used_flows import UsedFlowRepo
from database.user_search import UserSearchRepo
from database.user_transfer import UserTransferRepo
from database.users import UserRepo


class Db:
    """A connection inside a transaction, a snapshot or a statement, and the repositories that use it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.users = UserRepo(connection)
        self.user_search = UserSearchRepo(connection)
        self.user_transfers = UserTransferRepo(connection)
        self.roles = RoleRepo(connection)
        self.sessions = SessionRepo(connection)
        self.used_flows = UsedFlowRepo(connection)
        self.ladder = LadderRepo(connection)
        self.outbox = OutboxRepo(connection)
        self.outbox_search = OutboxSearchRepo(connection)
        self.signing_keys = SigningKeyRepo(connection)
        self.audit = AuditRepo(connection)
