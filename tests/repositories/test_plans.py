"""Statements that find rows by their ids do so by the primary key, also when they were planned on an empty table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import connect
from agentmem_store.statements import agents, block_values, blocks, tools, users
from tests.repositories.plans import generic_plan, skip_where_arrays_are_filters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from agentmem_store.query import Query

    Connection = asyncpg.Connection[Any]

TABLES = {"agents": agents, "users": users, "tools": tools, "blocks": blocks}
VERBS = ["GET", "GET_MANY", "UPDATE", "DELETE", "RESTORE", "HARD_DELETE", "CREATE_STORED"]
BY_ID = [
    pytest.param(table, getattr(block_values if (table, verb) == ("blocks", "UPDATE") else module, verb))
    for table, module in TABLES.items()
    for verb in VERBS
] + [pytest.param("blocks", block_values.APPEND), pytest.param("blocks", block_values.REPLACE)]


@pytest.fixture
async def fresh(dsn: str) -> AsyncIterator[Connection]:
    connection = await connect.connect(dsn)
    yield connection
    await connection.close()


@pytest.mark.own_sessions
@pytest.mark.parametrize(("table", "query"), BY_ID, ids=lambda value: getattr(value, "name", value))
async def test_rows_are_found_by_their_key(fresh: Connection, table: str, query: Query[Any]) -> None:
    await skip_where_arrays_are_filters(fresh)
    lines = (await generic_plan(fresh, query)).splitlines()
    reads = [at for at, line in enumerate(lines) if f" on {table} " in line and "Scan" in line]
    assert reads
    for at in reads:
        assert f"using {table}_pkey" in lines[at], lines[at]
        assert "Index Cond: ((organization_id = $1) AND (id = " in lines[at + 1]
