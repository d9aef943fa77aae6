"""Plans of the searches, as every connection runs them: generic ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store.statements import memory_recall, message_search
from agentmem_store.statements.surrounding import SURROUNDING

if TYPE_CHECKING:
    import asyncpg

    from agentmem_store.database import Database

TENANT = "md5('t1')::uuid"
SEED = """
    INSERT INTO agentmem.organizations (id, name)
    SELECT md5('t' || t)::uuid, 'tenant' FROM generate_series(1, 100) AS t;
    INSERT INTO agentmem.agents (organization_id, id, name)
    SELECT md5('t' || t)::uuid, md5('t' || t)::uuid, 'agent' FROM generate_series(1, 100) AS t;
    INSERT INTO agentmem.memories (organization_id, id, agent_id, content, hash)
    SELECT md5('t' || n % 100 + 1)::uuid, md5('n' || n)::uuid, md5('t' || n % 100 + 1)::uuid,
           'word' || n % 7 || ' number' || n % 1000, repeat('0', 64)
    FROM generate_series(1, 10000) AS n;
    INSERT INTO agentmem.messages (organization_id, id, agent_id, seq, role, text)
    SELECT m.organization_id, m.id, m.agent_id, row_number() OVER (PARTITION BY m.agent_id), 'user', m.content
    FROM agentmem.memories AS m;
    VACUUM ANALYZE;
"""
MEMORIES = f"({TENANT}, 10, {TENANT}, NULL, NULL, NULL, NULL, NULL, 'word1 number701', '{{}}', '{{}}', 1000)"
MESSAGES = (
    f"({TENANT}, {TENANT}, NULL, NULL, 'word1 number701', '{{}}', '{{}}', 10, 1000, 200, "
    "0.4, 0.2, 2, NULL, NULL, NULL, NULL)"
)


async def seed(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await executed_all(connection, SEED)


async def executed_all(connection: asyncpg.Connection[asyncpg.Record], statements: str) -> None:
    for statement in statements.strip().split(";\n"):
        if statement.strip():
            await connection.execute(statement)


async def executed(connection: asyncpg.Connection[asyncpg.Record], sql: str, arguments: str) -> str:
    """Run a statement by its generic plan and return the plan with what it read."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE searched AS {sql}")
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE searched {arguments}")
    await connection.execute("DEALLOCATE searched")
    return "\n".join(row[0] for row in rows)


async def test_a_search_reads_its_index_within_the_tenant(db: Database) -> None:
    async with db.connection() as connection:
        await seed(connection)
        for sql, arguments, index in (
            (memory_recall.SEARCH.sql, MEMORIES, "memories_search"),
            (message_search.SEARCH.sql, MESSAGES, "messages_search"),
        ):
            plan = await executed(connection, sql, arguments)
            scans = [line for line in plan.splitlines() if f"Bitmap Index Scan on {index}" in line]
            assert len(scans) == 2, plan
            found = 100 / 7 + 10000 / 1000 / 100 + 3
            assert any(0 < _rows(line) <= found for line in scans), plan
            assert any("never executed" in line for line in scans), (
                "nothing common is known, so the rest is not asked for"
            )
            assert "Seq Scan on memories" not in plan, plan
            assert "Seq Scan on messages" not in plan, plan


async def test_a_query_without_words_reads_no_row(db: Database) -> None:
    async with db.connection() as connection:
        await seed(connection)
        for sql, arguments in ((memory_recall.SEARCH.sql, MEMORIES), (message_search.SEARCH.sql, MESSAGES)):
            plan = await executed(connection, sql, arguments.replace("word1 number701", "the"))
            scans = [line for line in plan.splitlines() if "Bitmap Index Scan" in line and "_search" in line]
            assert scans
            assert not any(map(_rows, scans)), plan


RARE = """
    UPDATE agentmem.memories SET memory_type = 'rare' WHERE id = md5('n5700')::uuid;
    UPDATE agentmem.messages SET group_id = 'rare' WHERE id = md5('n5700')::uuid;
    UPDATE agentmem.memories SET metadata = '{"k": 1}' WHERE id = md5('n5700')::uuid;
    UPDATE agentmem.messages SET metadata = '{"k": 1}' WHERE id = md5('n5700')::uuid;
    VACUUM ANALYZE;
"""
COMMON = "'word2 word3 number699'"
HAS_K = """'{"contains": {"k": 1}, "exists": [], "any_of": {}, "ranges": {}}'"""


def rare(text: str) -> tuple[tuple[str, str, str, str], ...]:
    """Searches with a filter that one row passes, by the mark in the index and by metadata."""
    memories, messages = MEMORIES.replace("'word1 number701'", text), MESSAGES.replace("'word1 number701'", text)
    by_type = memories.replace("NULL, NULL, NULL, NULL, NULL, '", "NULL, 'rare', NULL, NULL, NULL, '")
    by_group = messages.replace(f"{TENANT}, NULL, NULL, '", f"{TENANT}, NULL, 'rare', '")
    by_metadata = memories.replace("NULL, NULL, NULL, NULL, NULL, '", f"NULL, NULL, NULL, NULL, {HAS_K}, '")
    return (
        (memory_recall.SEARCH.sql, by_type, "memories_search", "mark"),
        (message_search.SEARCH.sql, by_group, "messages_search", "mark"),
        (memory_recall.SEARCH.sql, by_metadata, "memories_search", "row"),
    )


async def test_a_rare_filter_reads_what_it_leaves_and_metadata_stays_within_the_tenant(db: Database) -> None:
    """Of 100 tenants with 100 rows each, of which 30 have a word that is asked for, and one passes the filter."""
    async with db.connection() as connection:
        await seed(connection)
        await executed_all(connection, RARE)
        for sql, arguments, index, kept_by in rare(COMMON):
            plan = await executed(connection, sql, arguments)
            scans = [line for line in plan.splitlines() if f"Bitmap Index Scan on {index}" in line]
            assert 0 < sum(map(_rows, scans)) <= (1 if kept_by == "mark" else 40), plan
            assert _rows(plan.splitlines()[0]) == 1, plan


async def test_what_was_found_is_read_once_however_much_it_is(db: Database) -> None:
    async with db.connection() as connection:
        await seed(connection)
        for sql, arguments in ((memory_recall.SEARCH.sql, MEMORIES), (message_search.SEARCH.sql, MESSAGES)):
            plan = await executed(connection, sql, arguments.replace(" 10,", " 1000,"))
            lines = plan.splitlines()
            [read] = [lines[place - 1] for place, line in enumerate(lines) if "(id = ANY (" in line]
            assert "loops=1)" in read, plan
            assert _rows(read) >= 14, plan


async def test_surrounding_turns_are_read_by_the_index_of_their_thread(db: Database) -> None:
    async with db.connection() as connection:
        await seed(connection)
        ids = "ARRAY[md5('n5700')::uuid, md5('n100')::uuid]"
        plan = await executed(connection, SURROUNDING.sql, f"({TENANT}, {ids}, 3)")
        read = [line for line in plan.splitlines() if "Scan using messages_visible" in line]
        assert read
        assert all(_rows(line) <= 3 for line in read), plan
        assert "Seq Scan on messages" not in plan


async def test_a_plan_made_for_an_empty_table_does_not_multiply_rows(db: Database) -> None:
    """The connection keeps the plan until the table is analyzed: what it found is read by key, not joined by scans."""
    async with db.connection() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, sql, arguments in (
            ("memories", memory_recall.SEARCH.sql, MEMORIES),
            ("messages", message_search.SEARCH.sql, MESSAGES),
        ):
            await connection.execute(f"PREPARE early_{name} AS {sql}")
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE early_{name} {arguments}"))
            probes = plan.count("SubPlan")
            assert probes >= 3, plan
            assert f"using {name}_pkey" in plan, plan


def _rows(line: str) -> float:
    return 0 if "never executed" in line else float(line.split("rows=")[1].split(maxsplit=1)[0])
