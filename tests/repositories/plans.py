"""The plan of a statement as the server keeps it: generic, made without knowing the arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

    from agentmem_store.query import Query


async def generic_plan(connection: asyncpg.Connection[Any], query: Query[Any]) -> str:
    """Return the generic plan of a query, on a connection that always takes it (which all of ours do)."""
    assert await connection.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
    nulls = ", ".join(["NULL"] * len((await connection.prepare(query.text)).get_parameters()))
    await connection.execute(f"PREPARE planned AS {query.sql}")
    try:
        rows = await connection.fetch(f"EXPLAIN EXECUTE planned({nulls})")
    finally:
        await connection.execute("DEALLOCATE planned")
    return "\n".join(row[0] for row in rows)
