"""Which step of which flow has had its effect."""

from __future__ import annotations

from sqlalchemy import delete, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import used_flow

_MARK = insert(used_flow).on_conflict_do_nothing().returning(used_flow.c.flow_id)
_FORGET_OLD = delete(used_flow).where(used_flow.c.used_at < func.now() - text("interval '1 day'"))


class UsedFlowRepo:
    """The arbiter of single use: its primary key has the last word."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def mark(self, flow_id: bytes, step: str) -> bool:
        """Note that the step takes effect in this transaction; False when it took effect before."""
        marked = await self._connection.execute(_MARK, {"flow_id": flow_id, "step": step})
        return marked.one_or_none() is not None

    async def forget_old(self) -> None:
        """Drop marks of flows that ended long ago; a day is far beyond any flow's life."""
        await self._connection.execute(_FORGET_OLD)
