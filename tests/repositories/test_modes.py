"""create_many of agents, users, tools and blocks: its modes, any number of items, streams. Memories have their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import NewBlock
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.tools import NewTool
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import agents, block_batches, blocks, creation, messages, organizations, tools, users
from agentmem_store.repositories.creation import ARRAYS_MOST, Mode
from tests.repositories.tables import TABLES, Table, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from agentmem_store.scope import Root, Scope


@pytest.fixture(params=TABLES, ids=lambda table: table.entity)
def table(request: pytest.FixtureRequest) -> Table:
    chosen: Table = request.param
    return chosen


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a statement hold 2 items and a batch 5, so that a few items are many."""
    monkeypatch.setattr(creation, "ARRAYS_MOST", 2)
    monkeypatch.setattr(block_batches, "_AT_ONCE", 2)
    for module in (creation, block_batches):
        monkeypatch.setattr(module, "BATCH", 5)


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_new_items_come_back_as_rows_in_input_order(scope: Scope, table: Table, mode: Mode) -> None:
    new = [*table.some(3)[::-1], table.item(9, **table.new_content)]
    rows = await table.module.create_many(scope, new, mode=mode)
    assert [table.content(row) for row in rows] == [table.content(item) for item in new]
    assert {row.version for row in rows} == {1}
    assert await table.module.create_many(scope, new[::-1], mode=mode) == rows[::-1], "sent again"
    assert await table.module.create_many(scope, [], mode=mode) == []


@pytest.mark.parametrize("mode", ["strict", "upsert"])
async def test_more_items_than_a_statement_holds(scope: Scope, table: Table, mode: Mode) -> None:
    new = table.some(ARRAYS_MOST + 1)[::-1]
    rows = await table.module.create_many(scope, new, mode=mode)
    assert [row.id for row in rows] == [item.id for item in new]
    assert await table.module.count(scope) == len(new)


@pytest.mark.parametrize("others", [0, 2])
async def test_other_content_of_a_stored_id_is_a_conflict_when_strict(scope: Scope, table: Table, others: int) -> None:
    stored = await table.module.create(scope, table.item(7, **table.old_content))
    new = [*table.some(others), table.item(7, id=stored.id, **table.new_content)]
    place = f"item {others}: " if others else ""
    with pytest.raises(errors.Conflict, match=f"{place}this {table.entity} is stored with other content") as caught:
        await table.module.create_many(scope, new)
    assert caught.value.current == stored
    assert await table.module.count(scope) == 1


@pytest.mark.parametrize("others", [0, 2])
async def test_skip_leaves_stored_rows_as_they_stand(scope: Scope, table: Table, others: int) -> None:
    stored = await table.module.create(scope, table.item(7, **table.old_content))
    hidden = await table.module.delete(scope, (await table.module.create(scope, table.item(8))).id)
    more = [table.item(7, id=stored.id, **table.new_content), table.item(8, id=hidden.id, metadata={"new": 1})]
    for row, item in zip((stored, hidden), more, strict=True):
        new = [*table.some(others), item]
        rows = await table.module.create_many(scope, new, mode="skip")
        assert [row.id for row in rows] == [item.id for item in new]
        assert rows[-1] == row
        await table.module.hard_delete_many(scope, [item.id for item in new[:-1]])
    assert await table.module.count(scope) == 1


@pytest.mark.parametrize("others", [0, 2])
async def test_upsert_gives_a_stored_row_all_of_the_new_content(
    root: Root, scope: Scope, table: Table, others: int
) -> None:
    stored = await table.module.create(scope, table.item(7, **table.old_content))
    actor = uuid4()
    acting = root.tenant(scope.organization_id, actor_id=actor)
    new = [table.item(7, id=stored.id, **table.new_content), *table.some(others)]

    rows = await table.module.create_many(acting, new, mode="upsert")

    assert [table.content(row) for row in rows] == [table.content(item) for item in new]
    row = rows[0]
    assert (row.version, row.last_updated_by_id, row.created_by_id) == (2, actor, None)
    assert row.created_at == stored.created_at
    assert await table.module.get(scope, stored.id) == row
    assert await table.module.create_many(scope, new, mode="upsert") == rows, "the same content is no new version"


async def test_each_field_that_differs_makes_a_version(scope: Scope, table: Table) -> None:
    item = table.item(7)
    row = await table.module.create(scope, item)
    for field, value in table.new_content.items():
        version = row.version + (getattr(row, field) != value)
        item = item.model_copy(update={field: value})
        (row,) = await table.module.create_many(scope, [item], mode="upsert")
        assert (field, row.version, getattr(row, field)) == (field, version, value)
    assert row.version > len(table.new_content) / 2


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_another_tenant_s_row_of_that_id_is_not_reached(
    scope: Scope, other: Scope, table: Table, mode: Mode
) -> None:
    stored = await table.module.create(scope, table.item(7, **table.old_content))
    new = [table.item(7, id=stored.id, **table.new_content)]
    (made,) = await table.module.create_many(other, new, mode=mode)
    assert (made.version, table.content(made)) == (1, table.content(new[0]))
    assert await table.module.get(scope, stored.id) == stored


async def test_upsert_does_not_reach_a_deleted_row(scope: Scope, table: Table) -> None:
    row = await table.module.create(scope, table.item(7, **table.old_content))
    row = await table.module.delete(scope, row.id)
    new = [*table.some(2), table.item(7, id=row.id, **table.new_content)]
    with pytest.raises(errors.Conflict, match=f"item 2: this {table.entity} is stored, but deleted") as caught:
        await table.module.create_many(scope, new, mode="upsert")
    assert caught.value.current == row
    assert await table.module.count(scope) == 0


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_a_deleted_organization_refuses_all(root: Root, scope: Scope, table: Table, mode: Mode) -> None:
    await organizations.delete(root, scope.organization_id)
    with pytest.raises(errors.NotFound, match="item 0: no such organization"):
        await table.module.create_many(scope, table.some(2), mode=mode)
    with pytest.raises(errors.NotFound, match="item 0: no such organization"):
        await table.module.create_many(scope, stream(table.some(2)), mode=mode)


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_a_user_who_is_not_there_refuses_all_blocks(scope: Scope, other: Scope, mode: Mode) -> None:
    gone = await users.delete(scope, (await users.create(scope, NewUser(name="gone"))).id)
    foreign = await users.create(other, NewUser(name="foreign"))
    for user_id in (gone.id, foreign.id, uuid4()):
        new = [NewBlock(label="a"), NewBlock(label="b", user_id=user_id)]
        with pytest.raises(errors.NotFound, match="item 1: no such user"):
            await blocks.create_many(scope, new, mode=mode)
    assert await blocks.count(scope) == 0


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_a_bad_item_is_named_before_any_io(table: Table, mode: Mode) -> None:
    scope = Database("postgresql://nobody@127.0.0.1:1/none").tenant(uuid4())
    kind, twice = table.new.__name__, table.item(7)
    wrong: list[tuple[list[Any], str]] = [
        ([twice, "x", {"name": "b"}], f"item 1: item: must be a {kind}; item 2: item: must be a {kind}"),
        ([table.changes()], f"item 0: item: must be a {kind}"),
        ([*table.some(3), twice, twice], "item 4: id: is given to two items of the batch"),
    ]
    for new, message in wrong:
        with pytest.raises(errors.ValidationError) as caught:
            await table.module.create_many(scope, new, mode=mode)
        assert str(caught.value) == message
    with pytest.raises(errors.ValidationError, match="mode: must be strict, skip or upsert"):
        await table.module.create_many(scope, table.some(1), mode=mode + "!")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("number", [0, 1, 5, 13])
@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_a_stream_is_stored_and_counted(scope: Scope, table: Table, number: int, mode: Mode) -> None:
    new = table.some(number)
    for _ in range(2):
        assert await table.module.create_many(scope, stream(new), mode=mode) == number
        rows = await table.module.create_many(scope, new, mode="skip")
        assert [(row.version, table.content(row)) for row in rows] == [(1, table.content(item)) for item in new]


@pytest.mark.usefixtures("small")
async def test_a_stream_of_upserts_gives_each_stored_row_its_new_content(scope: Scope, table: Table) -> None:
    stored = await table.module.create_many(scope, table.some(13))
    new = [table.item(100 + i, id=row.id, metadata={"i": i}) for i, row in enumerate(stored)]
    assert await table.module.create_many(scope, stream([*new, *table.some(2)]), mode="upsert") == 15
    rows = await table.module.create_many(scope, new, mode="skip")
    assert [(row.version, table.content(row)) for row in rows] == [(2, table.content(item)) for item in new]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_a_stream_is_stored_whole_or_not_at_all(scope: Scope, table: Table, mode: Mode) -> None:
    stored = await table.module.create(scope, table.item(20, **table.old_content))
    same_id = table.item(20, id=stored.id, **(table.new_content if mode == "upsert" else table.old_content))
    first = [same_id, *table.some(10)]
    twice = table.item(30)
    wrong = [
        (["no item"], f"item 11: item: must be a {table.new.__name__}"),
        ([twice, twice], "item 12: id: is given to two items of the batch"),
    ]
    for last, message in wrong:
        with pytest.raises(errors.ValidationError, match=message):
            await table.module.create_many(scope, stream([*first, *last]), mode=mode)
    assert await table.module.count(scope) == 1
    assert await table.module.get(scope, stored.id) == stored


@pytest.mark.usefixtures("small")
async def test_a_refused_item_of_a_stream_is_named_and_takes_all_with_it(scope: Scope, table: Table) -> None:
    stored, hidden = await table.module.create_many(scope, table.some(2, first=20))
    hidden = await table.module.delete(scope, hidden.id)
    changed = table.item(20, id=stored.id, metadata={"new": 1})
    refused: list[tuple[Any, Mode, str]] = [
        (changed, "strict", "stored with other content"),
        (table.item(21, id=hidden.id, metadata={"new": 1}), "upsert", "stored, but deleted"),
    ]
    for item, mode, message in refused:
        first = [changed, *table.some(10)] if mode == "upsert" else table.some(11)
        with pytest.raises(errors.Conflict, match=f"item 11: this {table.entity} is {message}"):
            await table.module.create_many(scope, stream([*first, item]), mode=mode)
    assert await table.module.count(scope) == 1
    assert await table.module.get(scope, stored.id) == stored


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", ["strict", "upsert"])
async def test_a_stream_holds_no_more_than_a_batch(scope: Scope, table: Table, mode: Mode) -> None:
    """When the next item is asked for, all but the last five of those before it have been written."""
    new = [item.model_copy(update={"metadata": {"new": 1}}) for item in table.some(12)]
    if mode == "upsert":
        await table.module.create_many(scope, [item.model_copy(update={"metadata": {}}) for item in new])
    most = 0

    async def watched() -> AsyncIterator[Any]:
        nonlocal most
        for taken, item in enumerate(new, 1):
            rows = (await table.module.list(scope, limit=100)).items
            most = max(most, taken - sum(row.metadata == {"new": 1} for row in rows))
            yield item

    assert await table.module.create_many(scope, watched(), mode=mode) == 12
    assert most == 5


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_a_tool_s_name_is_not_taken_from_another(scope: Scope, mode: Mode) -> None:
    search, fetch = await tools.create_many(scope, [NewTool(name="search"), NewTool(name="fetch")])
    batches: list[Any] = [[NewTool(name="a"), NewTool(name="search")], stream([NewTool(name="a"), NewTool(name="a")])]
    if mode == "upsert":
        batches.append([NewTool(id=fetch.id, name="search")])
        batches.append([NewTool(id=search.id, name="fetch"), NewTool(id=fetch.id, name="search")])
    for new in batches:
        with pytest.raises(errors.Conflict, match="a living row has this name already") as caught:
            async with scope.transaction() as tx:
                await tools.create_many(tx, new, mode=mode)
        assert caught.value.constraint == "tools_name_key"
    with pytest.raises(errors.ValidationError, match="item 1: name: is given to two items"):
        await tools.create_many(scope, [NewTool(name="a"), NewTool(name="a")], mode=mode)
    assert (await tools.list(scope)).items == [fetch, search]


async def test_an_upsert_takes_a_tool_s_name_that_a_deleted_one_had(scope: Scope) -> None:
    old, tool = await tools.create_many(scope, [NewTool(name="search"), NewTool(name="fetch")])
    await tools.delete(scope, old.id)
    (renamed,) = await tools.create_many(scope, [NewTool(id=tool.id, name="search")], mode="upsert")
    assert await tools.get_by_name(scope, "search") == renamed


async def test_an_upsert_does_not_move_a_block_to_another_user(scope: Scope) -> None:
    ada, mei = await users.create_many(scope, [NewUser(name="Ada"), NewUser(name="Mei")])
    block = await blocks.create(scope, NewBlock(label="human", user_id=ada.id))
    for user_id in (mei.id, None):
        new = [NewBlock(label="new"), NewBlock(id=block.id, label="human", value="x", user_id=user_id)]
        with pytest.raises(errors.Conflict, match="item 1: this block is stored, but deleted or not where") as caught:
            await blocks.create_many(scope, new, mode="upsert")
        assert caught.value.current == block
    await users.delete(scope, ada.id)
    with pytest.raises(errors.NotFound, match="no such user"):
        await blocks.create_many(scope, [NewBlock(id=block.id, label="x", user_id=ada.id)], mode="upsert")
    assert await blocks.count(scope) == 0


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("given", ["list", "stream"])
async def test_an_upsert_keeps_the_values_that_it_replaces(root: Root, scope: Scope, given: str) -> None:
    acting = root.tenant(scope.organization_id, actor_id=uuid4())
    stored = await blocks.create_many(scope, [NewBlock(label="a", value=f"old {i}") for i in range(12)])
    new = [NewBlock(id=row.id, label="a", value=f"new {i}") for i, row in enumerate(stored)]
    new[3] = NewBlock(id=stored[3].id, label="a", value=stored[3].value, metadata={"only": "this"})
    await blocks.create_many(acting, stream(new) if given == "stream" else new, mode="upsert")
    for i, row in enumerate(stored):
        kept = [(v.version, v.value, v.replaced_by_id) for v in (await blocks.history(scope, row.id)).items]
        assert kept == ([] if i == 3 else [(1, f"old {i}", acting.actor_id)])
        assert (await blocks.get(scope, row.id)).version == 2
    assert (await blocks.undo(scope, stored[0].id)).value == "old 0"


async def test_an_upsert_that_relabels_a_block_relabels_its_links(
    scope: Scope, connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    agent = await agents.create(scope, NewAgent(name="planner"))
    one, two = await blocks.create_many(scope, [NewBlock(label="a"), NewBlock(label="b")])
    await blocks.attach_many(scope, [one.id, two.id], agent.id)
    new = [NewBlock(id=one.id, label="z"), NewBlock(id=two.id, label="b", value="x")]
    await blocks.create_many(scope, new, mode="upsert")
    labels = "SELECT block_id, block_label FROM agentmem.blocks_agents WHERE agent_id = $1"
    found = await connection.fetch(labels, agent.id)
    assert {row["block_id"]: row["block_label"] for row in found} == {one.id: "z", two.id: "b"}


@pytest.mark.parametrize("mode", ["strict", "skip", "upsert"])
async def test_a_value_over_the_limit_that_passed_unchecked_is_bad_input(tenant: Scope, mode: Mode) -> None:
    stored = await blocks.create(tenant, NewBlock(label="a", limit=1))
    too_long = {"value": "xx", "limit": 1}
    for new in (NewBlock(label="a"), NewBlock(id=stored.id, label="a")):
        if new.id == stored.id and mode != "upsert":
            continue
        for batch in (
            [NewBlock(label="b"), new.model_copy(update=too_long)],
            stream([new.model_copy(update=too_long)]),
        ):
            with pytest.raises(errors.ValidationError, match="value: would be longer than the block's limit"):
                await blocks.create_many(tenant, batch, mode=mode)
    assert (await blocks.list(tenant)).items == [stored]


async def test_an_agent_stored_by_upsert_has_its_counter_once(scope: Scope) -> None:
    new = [NewAgent(name="a"), NewAgent(name="b")]
    for name in ("a", "c"):
        rows = await agents.create_many(scope, [new[0], new[1].model_copy(update={"name": name})], mode="upsert")
        for row in rows:
            await messages.append(scope, row.id, [NewMessage(role="user", text="x")])
    assert [m.seq for m in await messages.recent(scope, new[1].id)] == [1, 2]
