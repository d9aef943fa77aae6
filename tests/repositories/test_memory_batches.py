from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.memories import MemoryChanges, NewMemory
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, creation, memories, organizations
from agentmem_store.repositories.changing import Edit
from agentmem_store.repositories.creation import ARRAYS_MOST, BATCH, Mode
from agentmem_store.scope import Scope
from tests.repositories.waiting import until_one_waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

MANY = ARRAYS_MOST + 1
FUTURE = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="planner"))


def some(number: int, **fields: Any) -> list[NewMemory]:
    return [NewMemory.model_validate({"content": f"memory {i}", **fields}) for i in range(number)]


async def stream(items: Sequence[NewMemory]) -> AsyncIterator[NewMemory]:
    for item in items:
        yield item


async def test_batch_operations(scope: Scope, agent: Agent) -> None:
    new = some(20, agent_id=agent.id)
    rows = await memories.create_many(scope, new)
    assert [(row.id, row.content) for row in rows] == [(item.id, item.content) for item in new]
    assert await memories.create_many(scope, new) == rows
    assert await memories.create_many(scope, []) == []

    edits = [Edit(row.id, MemoryChanges(importance=i / 20)) for i, row in enumerate(rows)]
    changed = await memories.update_many(scope, edits[::-1])
    assert [row.importance for row in changed] == [i / 20 for i in reversed(range(20))]

    ids = [row.id for row in rows]
    assert await memories.delete_many(scope, [*ids[:15], uuid4()]) == 15
    assert await memories.delete_many(scope, ids[:15]) == 0
    assert await memories.count(scope, agent_id=agent.id) == 5
    assert await memories.restore_many(scope, ids) == 15
    assert await memories.restore_many(scope, ids) == 0
    assert await memories.delete_many(scope, ids[:3]) == 3
    assert await memories.hard_delete_many(scope, ids) == 20
    assert await memories.hard_delete_many(scope, ids) == 0
    assert await memories.count(scope) == 0


@pytest.mark.parametrize("number", [1, 2, ARRAYS_MOST, MANY, BATCH + 1])
@pytest.mark.parametrize("mode", ["strict", "upsert"])
async def test_any_number_comes_back_in_input_order(scope: Scope, number: int, mode: Mode) -> None:
    new = some(number)[::-1]
    rows = await memories.create_many(scope, new, mode=mode)
    assert [row.id for row in rows] == [item.id for item in new]
    assert await memories.count(scope) == number
    for row in (rows[0], rows[-1]):
        assert await memories.get(scope, row.id) == row


async def test_a_large_batch_is_copied_and_a_small_one_is_not(
    scope: Scope, connection: asyncpg.Connection[Any]
) -> None:
    sent: list[str] = []
    connection.add_query_logger(lambda record: sent.append(record.query))
    await memories.create_many(scope, some(ARRAYS_MOST))
    inserted = [query for query in sent if "INSERT" in query]
    assert len(inserted) == 1
    await memories.create_many(scope, some(MANY))
    assert [query for query in sent if "INSERT" in query] == inserted
    assert await memories.count(scope) == ARRAYS_MOST + MANY


@pytest.mark.parametrize("size", [2, MANY])
async def test_a_stored_id_with_other_content_refuses_the_whole_batch(scope: Scope, size: int) -> None:
    stored = await memories.create(scope, NewMemory(content="stored"))
    new = [*some(size - 1), NewMemory(id=stored.id, content="not stored")]
    for batch, place in ((new, size - 1), (new[::-1], 0)):
        with pytest.raises(errors.Conflict, match=f"item {place}: this memory is stored with other content") as caught:
            await memories.create_many(scope, batch)
        assert caught.value.current == stored
    assert await memories.count(scope) == 1


async def test_a_large_batch_can_be_sent_again_whole_or_grown(scope: Scope, agent: Agent) -> None:
    new = some(MANY, agent_id=agent.id)
    rows = await memories.create_many(scope, new)
    grown = [*some(MANY), *new]
    assert (await memories.create_many(scope, grown))[MANY:] == rows
    assert await memories.count(scope) == 2 * MANY
    await agents.delete(scope, agent.id)
    assert await memories.create_many(scope, new) == rows


@pytest.mark.parametrize("size", [2, MANY])
async def test_a_missing_parent_refuses_the_whole_batch(scope: Scope, agent: Agent, size: int) -> None:
    new = some(size, agent_id=agent.id)
    new[-1] = NewMemory(content="a", agent_id=agent.id, user_id=uuid4())
    with pytest.raises(errors.NotFound, match=f"item {size - 1}: no such user"):
        await memories.create_many(scope, new)
    assert await memories.count(scope) == 0


@pytest.mark.parametrize("size", [1, 2, MANY])
async def test_skip_leaves_stored_rows_as_they_stand(scope: Scope, size: int) -> None:
    stored = await memories.create(scope, NewMemory(content="stored"))
    hidden = await memories.create(scope, NewMemory(content="hidden"))
    hidden = await memories.delete(scope, hidden.id)
    for row in (stored, hidden):
        new = [*some(size - 1), NewMemory(id=row.id, content="other")]
        rows = await memories.create_many(scope, new, mode="skip")
        assert rows[-1] == row
        assert [item.content for item in rows[:-1]] == [item.content for item in new[:-1]]
    with pytest.raises(errors.NotFound, match="no such agent"):
        await memories.create_many(scope, [*some(size - 1), NewMemory(content="a", agent_id=uuid4())], mode="skip")
    assert await memories.count(scope) == 1 + 2 * (size - 1)


@pytest.mark.parametrize("size", [1, 2, MANY])
async def test_upsert_gives_stored_rows_the_new_content_as_a_new_version(scope: Scope, size: int) -> None:
    stored, _ = await memories.create_or_get(scope, NewMemory(content="stored", importance=1, metadata={"old": 1}))
    await memories.touch(scope, [stored.id])
    new = [*some(size - 1), NewMemory(id=stored.id, content="new", score=2)]

    rows = await memories.create_many(scope, new, mode="upsert")

    assert [row.content for row in rows] == [item.content for item in new]
    (row,) = rows[-1:]
    assert (row.version, row.importance, row.score, row.metadata, row.access_count) == (2, 0, 2, {}, 1)
    assert row.created_at == stored.created_at
    assert await memories.create_or_get(scope, NewMemory(content="new")) == (row, False)
    assert await memories.create_many(scope, new, mode="upsert") == rows, "the same content is no new version"


@pytest.mark.parametrize("hide", ["delete", "expire", "move"])
async def test_upsert_does_not_reach_what_is_hidden_or_anothers(scope: Scope, agent: Agent, hide: str) -> None:
    row = await memories.create(scope, NewMemory(content="stored"))
    whose = {"agent_id": agent.id} if hide == "move" else {}
    if hide == "delete":
        row = await memories.delete(scope, row.id)
    if hide == "expire":
        changes = MemoryChanges(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        row = await memories.update(scope, row.id, changes)
    new = [*some(2), NewMemory.model_validate({"id": row.id, "content": "new", **whose})]
    with pytest.raises(errors.Conflict, match="item 2: this memory is stored, but") as caught:
        await memories.create_many(scope, new, mode="upsert")
    assert caught.value.current == row
    assert await memories.count(scope) == (hide == "move")


@pytest.mark.parametrize("number", [0, 1, MANY, BATCH + 3])
async def test_a_stream_is_stored_and_counted(scope: Scope, number: int) -> None:
    new = some(number)
    assert await memories.create_many(scope, stream(new)) == number
    assert await memories.count(scope) == number
    assert await memories.create_many(scope, stream(new)) == number
    assert await memories.create_many(scope, stream(new), mode="upsert") == number
    assert await memories.count(scope) == number


async def test_a_stream_is_stored_whole_or_not_at_all(scope: Scope) -> None:
    stored = await memories.create(scope, NewMemory(content="stored"))
    last: list[tuple[Any, type[Exception], str]] = [
        (NewMemory(id=stored.id, content="other"), errors.Conflict, f"item {BATCH}: "),
        (NewMemory(content="a", agent_id=uuid4()), errors.NotFound, "no such agent"),
        ("not a memory", errors.ValidationError, f"item {BATCH}: item: must be a NewMemory"),
    ]
    first = some(BATCH)
    for item, error, message in last:
        with pytest.raises(error, match=message):
            await memories.create_many(scope, stream([*first, item, *some(1)]))
    with pytest.raises(errors.ValidationError, match=f"item {BATCH + 1}: id: is given to two items"):
        twice = some(1)
        await memories.create_many(scope, stream([*first, *twice, *twice]))
    assert await memories.count(scope) == 1


async def test_a_stream_holds_no_more_than_a_batch(scope: Scope) -> None:
    taken = stored = most = 0

    async def watched() -> AsyncIterator[NewMemory]:
        nonlocal taken, stored, most
        for _ in range(2 * BATCH + 1):
            if taken % BATCH == 0:
                stored = await memories.count(scope)
            taken += 1
            most = max(most, taken - stored)
            yield NewMemory(content="a")

    assert await memories.create_many(scope, watched()) == 2 * BATCH + 1
    assert most == BATCH


async def test_a_bad_item_is_named_before_any_io() -> None:
    scope = Database("postgresql://nobody@127.0.0.1:1/none").tenant(uuid4())
    twice = NewMemory(content="a")
    wrong: list[tuple[Any, str]] = [
        ([twice, "x", {"content": "b"}], "item 1: item: must be a NewMemory; item 2: item: must be a NewMemory"),
        ([*some(3), twice, twice], "item 4: id: is given to two items of the batch"),
        ([NewAgent()], "item 0: item: must be a NewMemory"),
    ]
    for new, message in wrong:
        with pytest.raises(errors.ValidationError) as caught:
            await memories.create_many(scope, new)
        assert str(caught.value) == message
    with pytest.raises(errors.ValidationError, match="mode: must be strict, skip or upsert"):
        await memories.create_many(scope, some(1), mode="replace")  # type: ignore[call-overload]


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
@pytest.mark.parametrize("size", [20, MANY])
async def test_batches_with_ids_in_common_do_not_deadlock(tenant: Scope, mode: Mode, size: int) -> None:
    writers = 16 if size < MANY else 3
    new = some(size)
    orders = [new if writer % 2 else new[::-1] for writer in range(writers)]
    results = await asyncio.gather(*(memories.create_many(tenant, order, mode=mode) for order in orders))
    for order, rows in zip(orders, results, strict=True):
        assert [row.id for row in rows] == [item.id for item in order]
        assert {row.version for row in rows} == {1}
    assert await memories.count(tenant) == size


async def test_upserts_of_many_writers_leave_one_content_and_every_version(tenant: Scope) -> None:
    ids = [uuid4() for _ in range(30)]

    async def write(writer: int) -> None:
        order = ids if writer % 2 else ids[::-1]
        new = [NewMemory(id=row_id, content=f"of {writer}") for row_id in order]
        await memories.create_many(tenant, new, mode="upsert")

    await asyncio.gather(*(write(writer) for writer in range(16)))
    rows = [await memories.get(tenant, row_id) for row_id in ids]
    assert len({row.content for row in rows}) == 1
    assert {row.version for row in rows} == {16}


async def test_changes_of_many_that_overlap_do_not_deadlock(tenant: Scope) -> None:
    ids = [row.id for row in await memories.create_many(tenant, some(40))]
    shared, hidden = ids[:20], ids[20:]

    async def change(writer: int) -> None:
        step = 1 if writer % 2 else -1
        await memories.update_many(tenant, [Edit(row_id, MemoryChanges(score=writer)) for row_id in shared[::step]])
        await memories.delete_many(tenant, hidden[::step])
        await memories.restore_many(tenant, hidden[::-step])

    await asyncio.gather(*(change(writer) for writer in range(16)))
    assert {(await memories.get(tenant, row_id)).version for row_id in shared} == {17}


@pytest.mark.own_sessions
@pytest.mark.parametrize("arrays_most", [1, ARRAYS_MOST], ids=["copied", "by arrays"])
async def test_creating_and_removing_the_parents_do_not_deadlock(
    db: Database, tenant: Scope, monkeypatch: pytest.MonkeyPatch, arrays_most: int
) -> None:
    monkeypatch.setattr(creation, "ARRAYS_MOST", arrays_most)
    first, second = [row.id for row in await agents.create_many(tenant, [NewAgent(), NewAgent()])]
    async with tenant.transaction() as tx:
        await agents.hard_delete(tx, first)
        new = [NewMemory(content="a", agent_id=second), NewMemory(content="b", agent_id=first)]
        creating = asyncio.create_task(memories.create_many(tenant, new))
        await until_one_waits(db)
        await agents.hard_delete(tx, second)
    with pytest.raises(errors.NotFound, match="item 0: no such agent"):
        await creating


async def test_batches_pass_with_one_connection(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(min_size=1, max_size=1)) as db:
        organization = await organizations.create(db, NewOrganization(name="o"))
        scope = db.tenant(organization.id)
        sizes = [3, MANY, 5]
        rows = await asyncio.gather(*(memories.create_many(scope, some(size)) for size in sizes))
        assert [len(made) for made in rows] == sizes
        assert await memories.create_many(scope, stream(some(MANY))) == MANY
