"""Knowing that a statement waits for another, without waiting for a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem_store.database import Database

_WAITS = """
    SELECT coalesce(bool_or(cardinality(pg_blocking_pids(pid)) > 0), false)
    FROM pg_stat_activity
    WHERE datname = current_database()
"""


async def until_one_waits(db: Database) -> None:
    """Return when a statement of this database waits for a lock that another holds."""
    async with asyncio.timeout(10), db.connection() as connection:
        while not await connection.fetchval(_WAITS):
            pass
