"""create_many of agents, users, tools and blocks by many writers at once, on a pool and on a single connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import BlockChanges, NewBlock
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.tools import NewTool
from agentmem_store.repositories import agents, blocks, creation, messages, organizations, tools
from agentmem_store.repositories.changing import Edit
from tests.repositories.tables import TABLES, Table, stream
from tests.repositories.waiting import until_one_waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.repositories.creation import Mode
    from agentmem_store.scope import Scope

WRITERS = 16


@pytest.fixture(params=TABLES, ids=lambda table: table.entity)
def table(request: pytest.FixtureRequest) -> Table:
    chosen: Table = request.param
    return chosen


@pytest.fixture(params=[DEVELOPMENT.max_size, 1], ids=lambda size: f"max_size={size}")
async def pooled(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Scope]:
    """The scope of a fresh organization, on a pool of the usual size or of one connection."""
    async with Database(dsn, DEVELOPMENT.with_(min_size=1, max_size=request.param)) as db:
        organization = await organizations.create(db, NewOrganization(name="pooled"))
        yield db.tenant(organization.id)


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_the_same_batch_in_different_orders_is_stored_once(pooled: Scope, table: Table, mode: Mode) -> None:
    new = table.some(20)
    orders = [new if writer % 2 else new[::-1] for writer in range(WRITERS)]
    results = await asyncio.gather(*(table.module.create_many(pooled, order, mode=mode) for order in orders))
    for order, rows in zip(orders, results, strict=True):
        assert [row.id for row in rows] == [item.id for item in order]
        assert {row.version for row in rows} == {1}
    assert await table.module.count(pooled) == 20


async def test_upserts_of_many_writers_leave_one_content_and_every_version(pooled: Scope, table: Table) -> None:
    ids = [uuid4() for _ in range(20)]

    async def write(writer: int) -> None:
        order = list(enumerate(ids))[:: 1 if writer % 2 else -1]
        new = [table.item(i, id=row_id, metadata={"of": writer}) for i, row_id in order]
        await table.module.create_many(pooled, new, mode="upsert")

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    rows = [await table.module.get(pooled, row_id) for row_id in ids]
    assert len({row.metadata["of"] for row in rows}) == 1
    assert {row.version for row in rows} == {WRITERS}


async def test_batches_that_share_some_ids_new_and_stored_do_not_deadlock(
    pooled: Scope, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are stored, some new, some changed meanwhile; a batch is several statements, and each is cut elsewhere."""
    monkeypatch.setattr(creation, "ARRAYS_MOST", 7)
    items = table.some(WRITERS + 19)
    stored = [row.id for row in await table.module.create_many(pooled, items[::3])]

    async def write(writer: int) -> None:
        own = [item.model_copy(update={"metadata": {"of": writer}}) for item in items[writer : writer + 20]]
        await table.module.create_many(pooled, own[:: 1 if writer % 2 else -1], mode="upsert")
        edits = [Edit(row_id, table.changes(metadata={"by": writer})) for row_id in stored[:: -1 if writer % 2 else 1]]
        await table.module.update_many(pooled, edits)

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    rows = [await table.module.get(pooled, item.id) for item in items]
    for place, row in enumerate(rows):
        writers = range(max(0, place - 19), min(WRITERS, place + 1))
        assert row.version == (1 + len(writers) + WRITERS if row.id in stored else len(writers))


async def test_sequences_and_streams_pass_side_by_side(pooled: Scope, table: Table) -> None:
    batches = [table.some(10, first=10 * writer) for writer in range(WRITERS)]
    done = await asyncio.gather(
        *(
            table.module.create_many(pooled, stream(batch) if writer % 2 else batch, mode="upsert")
            for writer, batch in enumerate(batches)
        )
    )
    assert [made if writer % 2 else len(made) for writer, made in enumerate(done)] == [10] * WRITERS
    assert await table.module.count(pooled) == 10 * WRITERS


@pytest.mark.own_sessions
async def test_an_upsert_that_waited_for_a_new_row_changes_it(db: Database, tenant: Scope, table: Table) -> None:
    item = table.item(1)
    async with tenant.transaction() as tx:
        await table.module.create(tx, item)
        new = [item.model_copy(update={"metadata": {"new": 1}}), *table.some(1)]
        upsert = asyncio.create_task(table.module.create_many(tenant, new, mode="upsert"))
        await until_one_waits(db)
    rows = await upsert
    assert [(row.version, row.metadata) for row in rows] == [(2, {"new": 1}), (1, {})]


@pytest.mark.own_sessions
async def test_an_upsert_keeps_the_value_of_a_block_that_was_written_while_it_waited(
    db: Database, tenant: Scope
) -> None:
    block = await blocks.create(tenant, NewBlock(label="a", value="first"))
    agent = await agents.create(tenant, NewAgent(name="planner"))
    async with tenant.transaction() as tx:
        await blocks.update(tx, block.id, BlockChanges(value="second"))
        await blocks.attach(tx, block.id, agent.id)
        new = [NewBlock(id=block.id, label="b", value="third")]
        upsert = asyncio.create_task(blocks.create_many(tenant, new, mode="upsert"))
        await until_one_waits(db)
    (row,) = await upsert
    assert (row.version, row.label, row.value) == (3, "b", "third")
    kept = [(value.version, value.value) for value in (await blocks.history(tenant, block.id)).items]
    assert kept == [(2, "second"), (1, "first")]
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT block_label FROM agentmem.blocks_agents") == "b"


@pytest.mark.own_sessions
async def test_an_upsert_of_an_agent_does_not_wait_for_who_appends_to_it(db: Database, tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="planner"))
    async with tenant.transaction() as tx:
        await messages.append(tx, agent.id, [NewMessage(role="user", text="a")])
        async with asyncio.timeout(10):
            (row,) = await agents.create_many(tenant, [NewAgent(id=agent.id, name="b")], mode="upsert")
    assert (row.name, row.version) == ("b", 2)


async def test_of_upserts_that_give_two_tools_one_name_one_is_refused(tenant: Scope) -> None:
    made = await tools.create_many(tenant, [NewTool(name=f"tool {i}") for i in range(8)])
    batches = [[NewTool(id=tool.id, name="search")] for tool in made]
    done = await asyncio.gather(
        *(tools.create_many(tenant, new, mode="upsert") for new in batches), return_exceptions=True
    )
    refused = [error for error in done if isinstance(error, errors.Conflict)]
    assert len(refused) == 7
    assert {error.constraint for error in refused} == {"tools_name_key"}


async def test_tools_whose_names_sort_against_their_ids_do_not_deadlock(
    pooled: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three ways to write one tool; a batch by id is several statements, and each is cut elsewhere."""
    monkeypatch.setattr(creation, "ARRAYS_MOST", 7)
    ids = sorted(uuid4() for _ in range(WRITERS + 19))
    items = [NewTool(id=row_id, name=f"tool {len(ids) - place:02}") for place, row_id in enumerate(ids)]

    async def write(writer: int) -> None:
        own = [item.model_copy(update={"metadata": {"of": writer}}) for item in items[writer : writer + 20]]
        if writer % 3:
            await tools.create_many(pooled, own, mode="skip" if writer % 2 else "upsert")
        else:
            await tools.upsert_many(pooled, own)

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    rows = [await tools.get(pooled, row_id) for row_id in ids]
    assert [row.name for row in rows] == [item.name for item in items]
