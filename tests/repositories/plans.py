"""The plan of a statement as the server keeps it: generic, made without knowing the arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

    from agentmem_store.query import Query

# Seen: 15 and 16 apply the array as a filter until the first ANALYZE, 18 does not. 17 was not run.
ARRAYS_IN_INDEX: Final = 18


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


async def skip_where_arrays_are_filters(connection: asyncpg.Connection[Any]) -> None:
    """Skip where a plan made on an empty table may apply `id = ANY (…)` as a filter and not in the index."""
    if connection.get_server_version().major < ARRAYS_IN_INDEX:
        pytest.skip(f"before PostgreSQL {ARRAYS_IN_INDEX} an array of ids may be a filter until the first ANALYZE")


async def scans_of(
    connection: asyncpg.Connection[Any], table: str, query: Query[Any], *args: Any
) -> list[dict[str, Any]]:
    """Run a query by its generic plan, and return the nodes of it that read the table."""
    shown = ", ".join("NULL" if arg is None else f"'{arg}'" for arg in args)
    await connection.execute(f"PREPARE planned AS {query.sql}")
    try:
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE planned({shown})")
    finally:
        await connection.execute("DEALLOCATE planned")
    return [node for node in _nodes(json.loads(plan)[0]["Plan"]) if node.get("Relation Name") == table]


def rows_read(scan: dict[str, Any]) -> int:
    """How many rows a node looked at, those it threw away included."""
    rows: float = scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
    loops: float = scan["Actual Loops"]
    return round(rows * loops)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)
