"""The tables: how large they are, and how they are read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store.analysis.control import DEFAULT_TIMEOUT_S, executor_of, undone
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.executor import Executor
    from agentmem_store.models.analysis import TableFacts

__all__ = ["SCHEMA", "tables", "tables_on"]

SCHEMA = "agentmem"


async def tables(db: Database, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[TableFacts]:
    """Return what the server knows of each table of this library.

    Args:
        db: an open database.
        timeout_s: seconds that each statement may take, above 0 and up to a day.

    Returns:
        the largest first, its indexes included; those of one size by name.

    Raises:
        ValidationError: timeout_s is out of bounds.
        AgentMemError: the server cannot be asked.
    """
    async with undone(executor_of(db), timeout_s) as executor:
        return await tables_on(executor)


async def tables_on(executor: Executor) -> list[TableFacts]:
    """Do what `tables` does within a transaction."""
    found = [statements.TABLES.decode(record) for record in await executor.fetch(statements.TABLES, (SCHEMA,))]
    return sorted(found, key=lambda table: (-table.total_bytes, table.table_name))
