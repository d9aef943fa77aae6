"""Plans made before a table was analyzed, which a connection keeps until then: embeddings are looked up by key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from agentmem_store.statements import hybrid
from agentmem_store.statements.embeddings import BY_SOURCE

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.models.embeddings import Source

NOBODY = "'00000000-0000-0000-0000-000000000000'"
NULLS = "NULL, NULL, NULL, NULL"
NEAR_BY = "'{}', '{}', 10, 1000, 200, 0.3, 0.2, 2"
VECTOR = "array_fill(1, ARRAY[384])::real[]"
SEARCHES: dict[Source, tuple[str, str]] = {
    "memories": (
        hybrid.MEMORIES_OF_AGENT.of(384).sql,
        f"{NOBODY}, 10, {NOBODY}, {NULLS}, NULL, 'word', '{{}}', '{{}}', 1000, 'm', {VECTOR}, 200, 0.5, 0, 0, 30",
    ),
    "messages": (
        hybrid.MESSAGES_OF_ALL.of(384).sql,
        f"{NOBODY}, {NOBODY}, NULL, NULL, 'word', {NEAR_BY}, {NULLS}, 'm', {VECTOR}, 200, 0.5, 0, 30",
    ),
}


@pytest.mark.parametrize("source", SEARCHES)
async def test_a_row_is_looked_up_by_its_key_in_an_empty_table_too(db: Database, source: Source) -> None:
    """By (organization, model) the planner would expect one row, and read all that the model made for each."""
    statements, (search, arguments) = BY_SOURCE[source], SEARCHES[source]
    key = statements.sides[384].key
    for sql, given in (
        (search, arguments),
        (statements.due.of(384).sql, f"{NOBODY}, 'm', {NOBODY}, 100, NULL"),
        (statements.count_due.of(384).sql, f"{NOBODY}, 'm', NULL"),
    ):
        plan = await planned(db, sql, given)
        table = statements.sides[384].table.removeprefix("agentmem.")
        probes = re.findall(rf"Index Scan using (\w+) on {table} \w+\n +(.*{key} = .*)", plan)
        assert [index for index, _ in probes] == [f"{table}_pkey"], plan
        assert all(condition.startswith("Index Cond") for _, condition in probes), plan


@pytest.mark.parametrize("source", SEARCHES)
async def test_what_was_found_is_read_once_and_joined_with_nothing(db: Database, source: Source) -> None:
    """A join with it reads all of it again for each row: 1,000 took a second (measured)."""
    plan = await planned(db, *SEARCHES[source])
    last = plan[plan.rindex("CTE found") :]
    assert "Join" not in last, plan


async def planned(db: Database, sql: str, arguments: str) -> str:
    async with db.connection() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE early AS {sql}")
        rows = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE early ({arguments})")
        await connection.execute("DEALLOCATE early")
    return "\n".join(row[0] for row in rows)
