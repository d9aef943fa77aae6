"""The tables of a dump, parents before what hangs on them, and the statements that read and store each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agentmem_store.statements import transfer, transfer_agent, transfer_load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["DERIVED", "TABLES", "Table", "stored_rows", "tables_of"]


@dataclass(frozen=True, slots=True)
class Table:
    """How one table travels.

    Attributes:
        name: within the schema.
        columns: as the statements list them.
        read: returns an organization's rows as JSON, in the order of a key.
        read_agent: the same for one agent, $2; None where no row belongs to an agent.
        store: takes $2 such rows, and returns how many were new.
        shared: whether rows of an agent's dump may be there already, since they can serve other agents too.
    """

    name: str
    columns: str
    read: Query[str]
    read_agent: Query[str] | None
    store: Query[int]
    shared: bool = False

    @property
    def column_names(self) -> list[str]:
        """The columns one by one, as the keys of a row in the file."""
        return [column.strip().strip('"') for column in self.columns.split(",")]


_ALL: Final = (
    Table("organizations", transfer.ORGANIZATION_COLUMNS, transfer.ORGANIZATION, None, transfer_load.ORGANIZATION),
    Table("users", transfer.USER_COLUMNS, transfer.USERS, transfer_agent.USERS, transfer_load.USERS, shared=True),
    Table("agents", transfer.AGENT_COLUMNS, transfer.AGENTS, transfer_agent.AGENT, transfer_load.AGENTS),
    Table(
        "message_counters",
        transfer.COUNTER_COLUMNS,
        transfer.COUNTERS,
        transfer_agent.COUNTER,
        transfer_load.COUNTERS,
    ),
    Table("messages", transfer.MESSAGE_COLUMNS, transfer.MESSAGES, transfer_agent.MESSAGES, transfer_load.MESSAGES),
    Table("blocks", transfer.BLOCK_COLUMNS, transfer.BLOCKS, transfer_agent.BLOCKS, transfer_load.BLOCKS, shared=True),
    Table(
        "block_values",
        transfer.BLOCK_VALUE_COLUMNS,
        transfer.BLOCK_VALUES,
        transfer_agent.BLOCK_VALUES,
        transfer_load.BLOCK_VALUES,
        shared=True,
    ),
    Table(
        "blocks_agents",
        transfer.BLOCK_LINK_COLUMNS,
        transfer.BLOCK_LINKS,
        transfer_agent.BLOCK_LINKS,
        transfer_load.BLOCK_LINKS,
    ),
    Table("tools", transfer.TOOL_COLUMNS, transfer.TOOLS, transfer_agent.TOOLS, transfer_load.TOOLS, shared=True),
    Table(
        "tools_agents",
        transfer.TOOL_LINK_COLUMNS,
        transfer.TOOL_LINKS,
        transfer_agent.TOOL_LINKS,
        transfer_load.TOOL_LINKS,
    ),
    Table("memories", transfer.MEMORY_COLUMNS, transfer.MEMORIES, transfer_agent.MEMORIES, transfer_load.MEMORIES),
)

TABLES: Final = {table.name: table for table in _ALL}

# Made of rows of the others; they stay behind, and a load makes them anew.
DERIVED: Final = frozenset({"term_frequencies"})


def tables_of(agent_id: UUID | None) -> list[Table]:
    """Return the tables of an organization's dump, or of an agent's, in their order."""
    return [table for table in _ALL if agent_id is None or table.read_agent is not None]


async def stored_rows(scope: Scope, agent_id: UUID | None) -> AsyncGenerator[tuple[str, str], None]:
    """Yield all that is stored of an organization, or of one agent: table and JSON, in the order of the file.

    Args:
        scope: bound to a transaction that began with `transfer.BEGIN`.
        agent_id: the agent, or None for the whole organization.
    """
    args = () if agent_id is None else (agent_id,)
    for table in tables_of(agent_id):
        if query := table.read if agent_id is None else table.read_agent:
            async for row in scope.stream(query, *args):
                yield table.name, row
