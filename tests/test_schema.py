from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agentmem_store import connect
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import NewBlock
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.repositories import agents, blocks, memories, messages
from tests.schema import SCHEMA, dump

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.scope import Scope

NINE = {
    "organizations": "name",
    "users": "name status timezone",
    "agents": "agent_type name description system topic message_ids metadata llm_config embedding_config tool_rules "
    "mcp_tools",
    "messages": "user_id agent_id role text content model name tool_calls tool_call_id step_id otid tool_returns "
    "group_id sender_id metadata",
    "blocks": "user_id template_name description label is_template value limit metadata",
    "tools": "name description json_schema source_type source_code tags metadata",
    "memories": "user_id agent_id content hash metadata score memory_type scope level importance access_count "
    "last_accessed",
}
AUDIT = {"created_at", "updated_at", "created_by_id", "last_updated_by_id", "is_deleted"}
LINKS = {"blocks_agents": {"block_id", "agent_id", "block_label"}, "tools_agents": {"tool_id", "agent_id"}}


def test_schema_sql_is_what_the_migrations_make(request: pytest.FixtureRequest, shared: str) -> None:
    if request.config.getoption("--postgres") != "embedded":
        pytest.skip("the file is written by the embedded server's pg_dump; another version words it differently")
    assert SCHEMA.read_text(encoding="utf-8") == dump(shared), "run `make schema` and commit sql/schema.sql"


async def test_the_nine_tables_have_every_column(db: Database) -> None:
    async with db.connection() as connection:
        rows = await connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'agentmem'"
        )
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table, set()).add(column)
    for table, own in NINE.items():
        tenant = set() if table == "organizations" else {"organization_id"}
        assert columns[table] >= {*own.split(), "id", *AUDIT, *tenant}, table
    for table, own_columns in LINKS.items():
        assert columns[table] >= own_columns | {"organization_id"}, table


async def test_keys_carry_the_tenant(db: Database) -> None:
    """Every key of a tenant table has organization_id; primary and foreign ones start with it."""
    async with db.connection() as connection:
        rows = await connection.fetch("""
            SELECT c.conname, c.contype, c.conrelid::regclass::text AS tab, c.confrelid::regclass::text AS target,
                   ARRAY(SELECT a.attname::text
                         FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
                         JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number
                         ORDER BY k.place) AS key
            FROM pg_constraint AS c
            WHERE c.connamespace = 'agentmem'::regnamespace AND c.contype IN ('p', 'u', 'f')
        """)
    for row in rows:
        if row["tab"] in {"agentmem.organizations", "agentmem.schema_migrations"}:
            continue
        leading = row["key"] if row["contype"] == b"u" else row["key"][:1]
        assert "organization_id" in leading, row["conname"]


async def test_every_foreign_key_has_an_index_that_serves_its_cascade(db: Database) -> None:
    async with db.connection() as connection:
        bare = await connection.fetch("""
            SELECT c.conname
            FROM pg_constraint AS c
            WHERE c.connamespace = 'agentmem'::regnamespace AND c.contype = 'f'
              AND NOT EXISTS (
                  SELECT
                  FROM pg_index AS i
                  WHERE i.indrelid = c.conrelid AND i.indisvalid
                    AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey
                    AND (i.indpred IS NULL
                         OR pg_get_expr(i.indpred, i.indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$')
              )
        """)
    assert [row["conname"] for row in bare] == []


async def test_nothing_that_breaks_on_citus(db: Database) -> None:
    async with db.connection() as connection:
        triggers = await connection.fetchval("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal")
        set_null = await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE confdeltype IN ('n', 'd')")
        on_update = await connection.fetchval(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confupdtype <> 'a'"
        )
    assert (triggers, set_null, on_update) == (0, 0, 0)


@pytest.mark.own_sessions
async def test_updates_of_every_day_write_no_index(dsn: str, tenant: Scope) -> None:
    """They are HOT: what they change is in no index, and there is room beside the row for its next version."""
    connection = await connect.connect(dsn)
    try:
        await update_again_and_again(tenant.on(connection))
        await connection.execute("SELECT pg_stat_force_next_flush()")
        updates = await connection.fetch("""
            SELECT relname, n_tup_upd, n_tup_hot_upd
            FROM pg_stat_user_tables
            WHERE schemaname = 'agentmem' AND n_tup_upd > 0
        """)
    finally:
        await connection.close()
    assert {row["relname"] for row in updates} == {"memories", "blocks", "agents", "message_counters"}
    for table, all_of_them, hot in updates:
        assert hot >= 0.95 * all_of_them >= 50, table


async def update_again_and_again(scope: Scope, times: int = 60) -> None:
    agent = await agents.create(scope, NewAgent())
    kept = await memories.create_many(scope, [NewMemory(agent_id=agent.id, content=f"fact {n}") for n in range(100)])
    made = await blocks.create_many(scope, [NewBlock(label=f"l{n}", value="value " * 60) for n in range(30)])
    for n in range(times):
        await memories.touch(scope, [kept[n % 100].id, kept[7 * n % 100].id])
        await blocks.append(scope, made[7 * n % 30].id, "one more line of it")
        await agents.append_message_ids(scope, agent.id, [uuid4()])
        await messages.append(scope, agent.id, [NewMessage(role="user", text="hello")])
