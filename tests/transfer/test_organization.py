"""A whole organization leaves as a file and arrives elsewhere exactly as it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from agentmem_store import connect, errors, transfer
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.tools import NewTool
from agentmem_store.repositories import agents, memories, messages, organizations, tools
from agentmem_store.scope import Scope
from agentmem_store.statements import transfer as statements
from agentmem_store.statements import transfer_agent
from agentmem_store.transfer import files, reading
from agentmem_store.transfer.tables import DERIVED, TABLES
from tests.repositories.plans import generic_plan
from tests.transfer import rows_of, seen


async def test_an_organization_arrives_as_it_was(
    db: Database, tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """Every function returns the same in both databases, and a dump of the copy has the same lines."""
    dumped = await transfer.dump(tenant, tmp_path / "a.jsonl")
    loaded = await transfer.load(elsewhere, tmp_path / "a.jsonl")
    assert loaded == (tenant.organization_id, None, dumped.rows, dict.fromkeys(TABLES, 0))
    assert dumped.size == (tmp_path / "a.jsonl").stat().st_size

    copy = elsewhere.tenant(tenant.organization_id)
    assert await seen(copy, agent_id) == await seen(tenant, agent_id)
    theirs, ours = [await organizations.get(root, tenant.organization_id) for root in (elsewhere, db)]
    assert theirs == ours
    await transfer.dump(copy, tmp_path / "b.jsonl")
    there, here = ((tmp_path / name).read_bytes().splitlines()[1:-1] for name in ("b.jsonl", "a.jsonl"))
    assert there == here


async def test_life_goes_on_where_it_was_left(
    tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """Places are not given twice, names are taken, deleted rows can be restored, what is generated is there."""
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    await transfer.load(elsewhere, tmp_path / "a.jsonl")
    copy = elsewhere.tenant(tenant.organization_id)
    assert (await messages.create(copy, agent_id, NewMessage(role="user", text="x"))).seq == 4
    with pytest.raises(errors.Conflict):
        await tools.create(copy, NewTool(name="search"))
    (deleted,) = [row["id"] for row in rows_of(tmp_path / "a.jsonl", "messages") if row["is_deleted"]]
    assert (await messages.restore(copy, UUID(deleted))).seq == 2
    assert len(await messages.search(copy, agent_id, "苹果")) == 2


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
    assert stored.keys() == TABLES.keys() | DERIVED
    for table, columns in stored.items():
        if table in DERIVED:
            continue
        tenant = "id" if table == "organizations" else "organization_id"
        assert {*TABLES[table].column_names, tenant} == columns, table


async def test_words_are_counted_anew_where_they_arrive(
    db: Database, tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """Of an organization and of an agent; counts are made of what is stored, so the file does not have them."""
    await memories.create_many(tenant, [NewMemory(agent_id=agent_id, content="common") for _ in range(3_000)])
    for agent, root in ((None, elsewhere), (agent_id, db)):
        dumped = await transfer.dump(tenant, tmp_path / "a.jsonl", agent_id=agent)
        assert "term_frequencies" not in dumped.rows
        into = None if agent is None else (await organizations.create(db, NewOrganization(name="taker"))).id
        report = await transfer.load(root, tmp_path / "a.jsonl", into=into)
        async with root.connection() as connection:
            counted = await connection.fetch(
                "SELECT lexeme FROM agentmem.term_frequencies WHERE organization_id = $1 ORDER BY lexeme",
                report.organization_id,
            )
        assert [row[0] for row in counted] == ["", "common"]


async def test_every_column_is_tried_with_a_value(
    db: Database, tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    """The tenant of these tests leaves no column NULL throughout; a deleted organization is dumped like any other."""
    await organizations.delete(db, tenant.organization_id, actor_id=uuid4())
    async with db.connection() as connection:
        for deleted in ("organizations", "users", "agents", "blocks", "tools"):
            await connection.execute(f"UPDATE agentmem.{deleted} SET purged_at = now() WHERE is_deleted")
        await connection.execute("UPDATE agentmem.organizations SET created_by_id = id, last_updated_by_id = id")
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    for name, table in TABLES.items():
        filled = {key for row in rows_of(tmp_path / "a.jsonl", name) for key, value in row.items() if value is not None}
        assert filled == set(table.column_names), name
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
    idle, *made = await agents.create_many(tenant, [NewAgent(name=str(number)) for number in range(5)])
    await messages.append(tenant, idle.id, [NewMessage(role="user", text="x" * 2000) for _ in range(300)])
    stop, appended = asyncio.Event(), dict.fromkeys([str(agent.id) for agent in made], 0)

    async def write(agent_id: UUID) -> None:
        while not stop.is_set():
            await messages.append(tenant, agent_id, [NewMessage(role="user", text="y") for _ in range(3)])
            await memories.create(tenant, NewMemory(content="z", agent_id=agent_id))
            appended[str(agent_id)] += 1

    writers = [asyncio.create_task(write(agent.id)) for agent in made]
    overlapped = 0
    for number in range(20):
        before = sum(appended.values())
        await transfer.dump(tenant, tmp_path / "a.jsonl")
        overlapped += sum(appended.values()) > before
        check_moment(tmp_path / "a.jsonl", [*appended])
        if number >= 2 and overlapped:
            break
    stop.set()
    await asyncio.gather(*writers)
    assert overlapped, "they did write meanwhile"
    await transfer.load(elsewhere, tmp_path / "a.jsonl")


def check_moment(path: Path, written: list[str]) -> None:
    """A writer appends three messages, then keeps a memory: at any moment there is a memory for each three but one."""
    said, kept = rows_of(path, "messages"), rows_of(path, "memories")
    for counter in rows_of(path, "message_counters"):
        agent_id, last = counter["agent_id"], counter["last_seq"]
        assert [row["seq"] for row in said if row["agent_id"] == agent_id] == [*range(1, last + 1)]
        if agent_id in written:
            assert last // 3 - sum(row["agent_id"] == agent_id for row in kept) in {0, 1}


async def test_an_empty_organization(tenant: Scope, elsewhere: Database, tmp_path: Path) -> None:
    dumped = await transfer.dump(tenant, tmp_path / "a.jsonl")
    assert dumped.rows == {name: int(name == "organizations") for name in TABLES}
    await transfer.load(elsewhere, tmp_path / "a.jsonl")
    assert (await organizations.get(elsewhere, tenant.organization_id)).name == "tenant"


async def test_batches_and_buffers_of_any_size_hold_the_same(
    tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_BUFFER_BYTES", 100)
    monkeypatch.setattr(reading, "_BATCH_ROWS", 2)
    await messages.append(tenant, agent_id, [NewMessage(role="user", text=str(number)) for number in range(7)])
    dumped = await transfer.dump(tenant, tmp_path / "a.jsonl")
    assert (await transfer.load(elsewhere, tmp_path / "a.jsonl")).stored == dumped.rows
    assert [len(batch.rows) for batch in reading.batches(tmp_path / "a.jsonl") if batch.table == "messages"] == [
        2
    ] * 4 + [1]


async def test_a_copy_under_another_id(tenant: Scope, db: Database, agent_id: UUID, tmp_path: Path) -> None:
    """The same rows stand in the same database twice, each organization with its own."""
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    report = await transfer.load(db, tmp_path / "a.jsonl", into=uuid4())
    copy = db.tenant(report.organization_id)
    assert await seen(copy, agent_id) == await seen(tenant, agent_id)
    await agents.hard_delete(copy, agent_id)
    assert await agents.find(tenant, agent_id) is not None


async def test_what_is_there_already_is_a_conflict(tenant: Scope, db: Database, agent_id: UUID, tmp_path: Path) -> None:
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    with pytest.raises(errors.Conflict, match="rows of organizations that are there already: 1 of 1;"):
        await transfer.load(db, tmp_path / "a.jsonl")
    await organizations.hard_delete(db, tenant.organization_id)
    await transfer.load(db, tmp_path / "a.jsonl")
    assert await messages.count(tenant, agent_id) == 1


async def test_progress_ends_at_all_of_it(tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path) -> None:
    await messages.append(tenant, agent_id, [NewMessage(role="user", text=str(number)) for number in range(1500)])
    told: list[tuple[int, int]] = []
    report = await transfer.dump(tenant, tmp_path / "a.jsonl", on_progress=lambda *now: told.append(now))
    rows = sum(report.rows.values())
    assert [done for done, _ in told] == [1000, rows]
    assert told[-1] == (rows, rows)
    told.clear()
    await transfer.load(elsewhere, tmp_path / "a.jsonl", on_progress=lambda *now: told.append(now))
    assert told[-1] == (2 * rows, 2 * rows)
    assert len(told) > 2
    assert told == sorted(told)


async def test_one_connection_is_enough(dsn: str, tenant: Scope, agent_id: UUID, tmp_path: Path) -> None:
    async with Database(dsn, DEVELOPMENT.with_(max_size=1)) as db:
        await transfer.dump(db.tenant(tenant.organization_id), tmp_path / "a.jsonl")
        await transfer.load(db, tmp_path / "a.jsonl", into=uuid4())
        assert (db.stats().in_use, db.stats().size) == (0, 1)


async def test_a_transaction_of_the_callers_is_refused(db: Database, tenant: Scope, tmp_path: Path) -> None:
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    async with tenant.transaction() as tx:
        with pytest.raises(errors.UsageError):
            await transfer.dump(tx, tmp_path / "b.jsonl")
    async with db.transaction() as root:
        with pytest.raises(errors.UsageError):
            await transfer.load(root, tmp_path / "a.jsonl", into=uuid4())
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.own_sessions
async def test_rows_come_as_they_are_read(connection: asyncpg.Connection[asyncpg.Record], scope: Scope) -> None:
    """Where an organization or an agent has many rows, none waits until all are read and sorted."""
    await scope.fetch_one(statements.BEGIN)
    long = [transfer_agent.MESSAGES, transfer_agent.MEMORIES, *(table.read for table in TABLES.values())]
    for query in long:
        plan = await generic_plan(connection, query)
        assert "Index Scan" in plan, query.name
        assert "Sort" not in plan, query.name
    assert "Sort" in await generic_plan(connection, transfer_agent.BLOCKS), "and what is little is sorted"
