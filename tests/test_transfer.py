"""Dump and load: a tenant or an agent leaves as a file, and arrives elsewhere exactly as it was, or not at all."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import json
import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from agentmem_store import connect, errors, transfer
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import BlockChanges, NewBlock
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.tools import NewTool
from agentmem_store.models.users import NewUser, UserChanges
from agentmem_store.repositories import agents, blocks, memories, messages, organizations, tools, users
from agentmem_store.transfer.tables import TABLES, tables_of
from tests.servers import admin, on_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agentmem_store.scope import Scope

# What a text may hold: scripts, an emoji of several code points, quotes, controls, separators, no lone surrogates.
TEXT = '苹果 🧑‍👩‍👧 "q" \\u0041 \\ \x01\x1f\x7f\t\r\n\u2028 end'
NUMBERS = '{"tiny": 1e-300, "long": 12345678901234567890.123456789012345678901234567890, "kept": 1.50, "neg": -0.0}'
_numbers = itertools.count(1)


@pytest.fixture
async def elsewhere(server: str, template: str) -> AsyncIterator[Database]:
    """An open database of its own, migrated and empty."""
    name = f"agentmem_elsewhere_{os.getpid()}_{next(_numbers)}"
    await admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    async with Database(on_database(server, name), DEVELOPMENT) as database:
        yield database
    await admin(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def agent_id(db: Database, tenant: Scope) -> UUID:
    """The agent of a tenant in which every table has rows, and nearly every column a value somewhere."""
    scope = db.tenant(tenant.organization_id, actor_id=uuid4())
    user = await users.create(scope, NewUser(name=TEXT, timezone="Asia/Shanghai", metadata={"k": TEXT}))
    agent = await agents.create(scope, _agent())
    rows = await messages.append(scope, agent.id, [_message(user.id, number) for number in range(3)])
    await messages.delete(scope, rows[1].id)
    await messages.hard_delete(scope, rows[2].id)
    await agents.append_message_ids(scope, agent.id, [row.id for row in rows])
    block = await blocks.create(scope, NewBlock(user_id=user.id, label="human", value="first", description=TEXT))
    await blocks.attach(scope, block.id, agent.id)
    await blocks.update(scope, block.id, BlockChanges(value=TEXT, is_template=True, template_name="t"))
    await blocks.undo(scope, block.id)
    tool = await tools.create(scope, _tool())
    await tools.attach(scope, tool.id, agent.id)
    memory, _ = await memories.create_or_get(scope, _memory(agent.id, user.id))
    await memories.touch(scope, [memory.id])
    await _delete_some(scope)
    async with db.connection() as connection:
        await connection.execute(f"UPDATE agentmem.memories SET metadata = '{NUMBERS}'")
    return agent.id


def _agent() -> NewAgent:
    json_values: dict[str, Any] = {"llm_config": {"t": 0.1}, "embedding_config": {}, "tool_rules": [], "mcp_tools": [1]}
    return NewAgent(name="Ada", agent_type="chat", description=TEXT, system=TEXT, topic=TEXT, **json_values)


def _message(user_id: UUID, number: int) -> NewMessage:
    return NewMessage(
        role="tool", text=f"{TEXT} {number}", content=[{"type": "text", "text": TEXT}], name="n", user_id=user_id,
        group_id="g", model="m", tool_calls=[{}], tool_call_id="c", tool_returns=[1], step_id="s", otid="o",
        sender_id="x", token_count=7,
    )  # fmt: skip


def _tool() -> NewTool:
    texts = {"description": TEXT, "source_type": "python", "source_code": "def f():\n\treturn '\\n'"}
    return NewTool(name="search", json_schema={"type": "object"}, tags=["网", "a"], **texts)


def _memory(agent_id: UUID, user_id: UUID) -> NewMemory:
    last = datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    content = "她喜欢黑咖啡 coffee"
    return NewMemory(agent_id=agent_id, user_id=user_id, content=content, importance=0.1, score=1e-300, expires_at=last)


async def _delete_some(scope: Scope) -> None:
    user = await users.create(scope, NewUser(name="gone", status="inactive"))
    agent = await agents.create(scope, NewAgent(name="gone"))
    block = await blocks.create(scope, NewBlock(label="gone"))
    tool = await tools.create(scope, NewTool(name="search 2"))
    memory = await memories.create(scope, NewMemory(content="gone", agent_id=agent.id, importance=5e-324, score=-0.0))
    await users.delete(scope, user.id)
    await agents.delete(scope, agent.id)
    await blocks.delete(scope, block.id)
    await tools.delete(scope, tool.id)
    await memories.delete(scope, memory.id)


async def seen(scope: Scope, root: Database, agent_id: UUID) -> list[Any]:
    """What the functions return, over every table."""
    (user,) = (await users.list(scope)).items
    (block,) = await blocks.by_agent(scope, agent_id)
    return [
        await organizations.get(root, scope.organization_id),
        user,
        (await agents.list(scope)).items,
        await agents.details(scope, agent_id),
        await messages.recent(scope, agent_id),
        await messages.search(scope, agent_id, "苹果"),
        block,
        (await blocks.history(scope, block.id)).items,
        await tools.by_agent(scope, agent_id),
        (await tools.by_tags(scope, ["网"])).items,
        (await memories.list(scope, agent_id=agent_id)).items,
        await memories.search(scope, "黑咖啡", agent_id=agent_id),
        await memories.most_important(scope, agent_id),
        await memories.recently_accessed(scope, agent_id),
    ]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def edited(path: Path, old: bytes, new: bytes, *, with_sums: bool = False) -> Path:
    """Change the first occurrence in a file, and its sums as well when asked."""
    lines = path.read_bytes().replace(old, new, 1).splitlines(keepends=True)
    if with_sums:
        last = json.loads(lines[-1])
        for table, held in last["tables"].items():
            own = b"".join(line for line in lines if line.startswith(f'{{"table":"{table}"'.encode()))
            held["sha256"] = hashlib.sha256(own).hexdigest()
        last["header_sha256"] = hashlib.sha256(lines[0]).hexdigest()
        lines[-1] = json.dumps(last, separators=(",", ":")).encode() + b"\n"
    changed = path.with_name(f"changed-{path.name}")
    changed.write_bytes(b"".join(lines))
    return changed


async def test_an_organization_arrives_as_it_was(
    db: Database, tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """Every function returns the same in both databases, and a dump of the copy is the same file but for its time."""
    dumped = await transfer.dump(tenant, tmp_path / "a.jsonl")
    loaded = await transfer.load(elsewhere, tmp_path / "a.jsonl")
    assert loaded == (tenant.organization_id, None, dumped.rows, dict.fromkeys(TABLES, 0))

    copy = elsewhere.tenant(tenant.organization_id)
    assert await seen(copy, elsewhere, agent_id) == await seen(tenant, db, agent_id)
    await transfer.dump(copy, tmp_path / "b.jsonl")
    there, here = ((tmp_path / name).read_bytes().splitlines()[1:-1] for name in ("b.jsonl", "a.jsonl"))
    assert there == here
    assert dumped.size == (tmp_path / "a.jsonl").stat().st_size


async def test_life_goes_on_where_it_was_left(
    tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """Places are not given twice, names are taken, deleted rows can be restored, what was generated is there."""
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    await transfer.load(elsewhere, tmp_path / "a.jsonl")
    copy = elsewhere.tenant(tenant.organization_id)
    assert (await messages.create(copy, agent_id, NewMessage(role="user", text="x"))).seq == 4
    with pytest.raises(errors.Conflict):
        await tools.create(copy, NewTool(name="search"))
    (deleted,) = [line["row"]["id"] for line in lines_of(tmp_path / "a.jsonl")[1:-1] if _is_deleted_message(line)]
    assert (await messages.restore(copy, UUID(deleted))).seq == 2
    assert len(await messages.search(copy, agent_id, "苹果")) == 2


def _is_deleted_message(line: dict[str, Any]) -> bool:
    return bool(line["table"] == "messages" and line["row"]["is_deleted"])


async def test_every_table_and_column_travels(db: Database) -> None:
    """Nothing that a migration adds can be forgotten; what no dump could hold is refused by a constraint."""
    async with db.connection() as connection:
        rows = await connection.fetch("""
            SELECT c.relname, a.attname, a.atttypid::regtype::text AS type, EXISTS (
                       SELECT FROM pg_constraint AS k
                       WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
                         AND pg_get_constraintdef(k.oid) LIKE '%jsonb_typeof(%') AS is_typed
            FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
            WHERE c.relnamespace = 'agentmem'::regnamespace AND c.relkind IN ('r', 'p')
              AND c.relname <> 'schema_migrations' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        """)
    stored: dict[str, set[str]] = {}
    for table, column, kind, is_typed in rows:
        stored.setdefault(table, set()).add(column)
        # JSON's null and SQL's NULL are the same in a line, and so are all numbers that are not finite.
        assert kind != "jsonb" or is_typed, f"{table}.{column} can hold JSON null"
    for table, columns in stored.items():
        tenant = "id" if table == "organizations" else "organization_id"
        assert {*TABLES[table].column_names, tenant} == columns, table
    assert stored.keys() == TABLES.keys()


async def test_every_column_is_tried_with_a_value(
    db: Database, tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """The tenant of these tests leaves no column NULL throughout; a deleted organization is dumped like any other."""
    await organizations.delete(db, tenant.organization_id, actor_id=uuid4())
    async with db.connection() as connection:
        for table in ("organizations", "users", "agents", "blocks", "tools"):
            await connection.execute(f"UPDATE agentmem.{table} SET purged_at = now() WHERE is_deleted")
        await connection.execute("UPDATE agentmem.organizations SET created_by_id = id, last_updated_by_id = id")
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    filled: dict[str, set[str]] = {}
    for line in lines_of(tmp_path / "a.jsonl")[1:-1]:
        filled.setdefault(line["table"], set()).update(key for key, value in line["row"].items() if value is not None)
    assert filled == {name: set(table.column_names) for name, table in TABLES.items()}

    await transfer.load(elsewhere, tmp_path / "a.jsonl")
    assert await organizations.find(elsewhere, tenant.organization_id) is None


async def test_numbers_and_times_keep_every_digit(
    tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """Whatever the session's settings are."""
    strange = await connect.connect(elsewhere.dsn)
    await strange.execute("SET TimeZone = 'Asia/Kolkata'; SET extra_float_digits = -15; SET DateStyle = 'German'")
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    await transfer.load(elsewhere, tmp_path / "a.jsonl")
    await transfer.dump(elsewhere.tenant(tenant.organization_id).on(strange), tmp_path / "b.jsonl")
    assert await strange.fetchval("SHOW TimeZone") == "Asia/Kolkata", "what was set is the session's again"
    await strange.close()
    for name in ("a.jsonl", "b.jsonl"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert '"importance":5e-324,"score":-0,' in text
        assert '"importance":0.1,"score":1e-300,' in text
        assert '"expires_at":"9998-12-31T18:29:59.999999+00:00"' in text
        assert "12345678901234567890.123456789012345678901234567890" in text
        assert '"kept": 1.50' in text


async def test_a_dump_is_one_moment_while_others_write(tenant: Scope, elsewhere: Database, tmp_path: Path) -> None:
    """Four writers go on appending; in the file every agent's places run without a gap up to its counter."""
    made = await agents.create_many(tenant, [NewAgent(name=str(number)) for number in range(4)])
    long = [NewMessage(role="user", text="x" * 2000) for _ in range(300)]
    await messages.append(tenant, made[0].id, long)
    stop, seen_by_dump = asyncio.Event(), list[int]()

    async def write(agent_id: UUID) -> int:
        count = 0
        while not stop.is_set():
            await messages.append(tenant, agent_id, [NewMessage(role="user", text="y") for _ in range(3)])
            await memories.create(tenant, NewMemory(content="z", agent_id=agent_id))
            count += 1
        return count

    writers = [asyncio.create_task(write(agent.id)) for agent in made]
    for number in range(3):
        report = await transfer.dump(tenant, tmp_path / f"{number}.jsonl")
        seen_by_dump.append(report.rows["messages"])
        check_snapshot(tmp_path / f"{number}.jsonl")
    stop.set()
    assert min(await asyncio.gather(*writers)) > 0
    assert sorted(set(seen_by_dump)) == seen_by_dump, "they did write meanwhile"
    await transfer.load(elsewhere, tmp_path / "2.jsonl")


def check_snapshot(path: Path) -> None:
    places: dict[str, list[int]] = {}
    kept: dict[str, int] = {}
    counters: dict[str, int] = {}
    for line in lines_of(path)[1:-1]:
        row = line["row"]
        if line["table"] == "messages":
            places.setdefault(row["agent_id"], []).append(row["seq"])
        elif line["table"] == "message_counters":
            counters[row["agent_id"]] = row["last_seq"]
        elif line["table"] == "memories":
            kept[row["agent_id"]] = kept.get(row["agent_id"], 0) + 1
    for agent_id, last_seq in counters.items():
        assert places.get(agent_id, []) == [*range(1, last_seq + 1)]
        batches = last_seq % 300 // 3 if last_seq >= 300 else last_seq // 3
        assert batches - kept.get(agent_id, 0) in {0, 1}, "a memory follows each batch"


async def test_an_empty_organization(tenant: Scope, elsewhere: Database, tmp_path: Path) -> None:
    dumped = await transfer.dump(tenant, tmp_path / "a.jsonl")
    assert dumped.rows == {name: int(name == "organizations") for name in TABLES}
    await transfer.load(elsewhere, tmp_path / "a.jsonl")
    assert (await organizations.get(elsewhere, tenant.organization_id)).name == "tenant"
