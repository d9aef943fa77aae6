from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem_store import errors
from agentmem_store.models.blocks import Block, BlockChanges, NewBlock
from agentmem_store.repositories import blocks
from agentmem_store.repositories.changing import Edit

if TYPE_CHECKING:
    from agentmem_store.scope import Root, Scope


@pytest.fixture
async def block(scope: Scope) -> Block:
    return await blocks.create(scope, NewBlock(label="human", value="one"))


async def values(scope: Scope, block: Block) -> list[str]:
    return [kept.value for kept in (await blocks.history(scope, block.id)).items]


async def test_append_separates_only_from_what_is_there(scope: Scope) -> None:
    block = await blocks.create(scope, NewBlock(label="human"))
    assert (await blocks.append(scope, block.id, "one")).value == "one"
    assert (await blocks.append(scope, block.id, "two")).value == "one\ntwo"
    assert (await blocks.append(scope, block.id, "三", separator=" / ")).value == "one\ntwo / 三"
    appended = await blocks.append(scope, block.id, "!", "")
    assert (appended.value, appended.version) == ("one\ntwo / 三!", 5)


async def test_replace_puts_the_new_text_wherever_the_old_occurs(scope: Scope) -> None:
    block = await blocks.create(scope, NewBlock(label="human", value="a%a_a. 茶"))
    assert (await blocks.replace(scope, block.id, "a", "bb")).value == "bb%bb_bb. 茶"
    assert (await blocks.replace(scope, block.id, "%bb_", "\\1")).value == "bb\\1bb. 茶"
    assert (await blocks.replace(scope, block.id, " 茶", "")).value == "bb\\1bb."
    current = await blocks.get(scope, block.id)
    for expected in (None, current.version):
        with pytest.raises(errors.Conflict, match="does not occur") as caught:
            await blocks.replace(scope, block.id, "B", "x", expected_version=expected)
        assert caught.value.current == current
    with pytest.raises(errors.NotFound):
        await blocks.replace(scope, uuid4(), "a", "b")


async def test_sixteen_writers_appending_lose_nothing(tenant: Scope) -> None:
    block = await blocks.create(tenant, NewBlock(label="log"))
    words = [f"word {n}" for n in range(16)]
    rows = await asyncio.gather(*(blocks.append(tenant, block.id, word) for word in words))
    stored = await blocks.get(tenant, block.id)
    assert sorted(stored.value.split("\n")) == sorted(words)
    assert sorted(row.version for row in rows) == [*range(2, 18)]
    in_order = sorted(rows, key=lambda row: row.version)
    assert await values(tenant, block) == [row.value for row in in_order[-2::-1]] + [""]


async def test_of_sixteen_writers_expecting_one_version_one_wins(tenant: Scope) -> None:
    block = await blocks.create(tenant, NewBlock(label="log"))
    edits = [blocks.append(tenant, block.id, str(n), expected_version=1) for n in range(16)]
    done = await asyncio.gather(*edits, return_exceptions=True)
    won = [row for row in done if isinstance(row, Block)]
    assert won == [await blocks.get(tenant, block.id)]
    assert sum(isinstance(error, errors.Conflict) and error.current == won[0] for error in done) == 15


async def test_every_change_of_the_value_is_kept_and_nothing_else(root: Root, scope: Scope, block: Block) -> None:
    actor = uuid4()
    acting = root.tenant(scope.organization_id, actor_id=actor)
    await blocks.update(acting, block.id, BlockChanges(description="no value"))
    await blocks.update(acting, block.id, BlockChanges(value="one", limit=100))
    await blocks.update(acting, block.id, BlockChanges(value="two"))
    await blocks.append(acting, block.id, "three", " ")
    await blocks.replace(acting, block.id, "two", "2")
    await blocks.update_many(acting, [Edit(block.id, BlockChanges(value=""))])
    await blocks.delete(acting, block.id)
    await blocks.restore(acting, block.id)

    kept = (await blocks.history(scope, block.id)).items
    assert [(old.version, old.value) for old in kept] == [(6, "2 three"), (5, "two three"), (4, "two"), (3, "one")]
    assert {(old.block_id, old.replaced_by_id, old.undone_to) for old in kept} == {(block.id, actor, None)}


async def test_history_comes_in_pages_newest_first(scope: Scope, other: Scope, block: Block) -> None:
    for n in range(5):
        await blocks.append(scope, block.id, str(n))
    first = await blocks.history(scope, block.id, limit=2)
    second = await blocks.history(scope, block.id, limit=2, cursor=first.next)
    third = await blocks.history(scope, block.id, limit=2, cursor=second.next)
    versions = [old.version for page in (first, second, third) for old in page.items]
    assert (versions, third.next) == ([5, 4, 3, 2, 1], None)
    another = await blocks.create(scope, NewBlock(label="human"))
    for elsewhere, row in ((other, block), (scope, another)):
        with pytest.raises(errors.ValidationError, match="cursor"):
            await blocks.history(elsewhere, row.id, cursor=first.next)
    await blocks.delete(scope, block.id)
    assert (await blocks.history(scope, block.id)).items == []


async def test_undo_walks_back_and_a_change_starts_anew(scope: Scope, block: Block) -> None:
    await blocks.update(scope, block.id, BlockChanges(value="two"))
    await blocks.update(scope, block.id, BlockChanges(value="three"))

    undone = await blocks.undo(scope, block.id, expected_version=3)
    assert (undone.value, undone.version) == ("two", 4)
    await blocks.update(scope, block.id, BlockChanges(description="no change of the value"))
    assert (await blocks.undo(scope, block.id)).value == "one"
    current = await blocks.get(scope, block.id)
    with pytest.raises(errors.Conflict, match="no earlier value") as caught:
        await blocks.undo(scope, block.id)
    assert caught.value.current == current

    await blocks.append(scope, block.id, "more")
    walked = [(await blocks.undo(scope, block.id)).value for _ in range(5)]
    assert walked == ["one", "two", "three", "two", "one"], "what an undo took away is reached again"
    with pytest.raises(errors.Conflict, match="no earlier value"):
        await blocks.undo(scope, block.id)


async def test_undo_of_an_untouched_or_unknown_block(scope: Scope, block: Block) -> None:
    with pytest.raises(errors.Conflict, match="no earlier value"):
        await blocks.undo(scope, block.id)
    with pytest.raises(errors.NotFound):
        await blocks.undo(scope, uuid4())


async def test_undo_to_a_value_that_no_longer_fits_the_limit(tenant: Scope) -> None:
    block = await blocks.create(tenant, NewBlock(label="human", value="long"))
    short = await blocks.update(tenant, block.id, BlockChanges(value="s", limit=1))
    with pytest.raises(errors.ValidationError, match="value"):
        await blocks.undo(tenant, block.id)
    assert await blocks.get(tenant, block.id) == short


async def test_undos_at_once_each_take_one_step(tenant: Scope) -> None:
    block = await blocks.create(tenant, NewBlock(label="log", value="0"))
    for n in range(1, 9):
        await blocks.update(tenant, block.id, BlockChanges(value=str(n)))
    rows = await asyncio.gather(*(blocks.undo(tenant, block.id) for _ in range(8)))
    assert sorted(row.value for row in rows) == [str(n) for n in range(8)]
    assert (await blocks.get(tenant, block.id)).value == "0"


async def test_undo_and_append_at_once_lose_nothing(tenant: Scope) -> None:
    """Whatever the order was, the history holds every value that ever stood, each followed by the next."""
    block = await blocks.create(tenant, NewBlock(label="log", value="start"))
    calls = [blocks.append(tenant, block.id, str(n)) for n in range(8)]
    rows = await asyncio.gather(*(blocks.undo(tenant, block.id) for _ in range(8)), *calls, return_exceptions=True)
    changed = sorted((row for row in rows if isinstance(row, Block)), key=lambda row: row.version)
    assert len(changed) == len(rows) - sum(isinstance(row, errors.Conflict) for row in rows)
    assert (await values(tenant, block))[::-1] == ["start", *(row.value for row in changed[:-1])]


class Model:
    """The promise in Python: all values in the order in which they stood, and how far back undo has walked."""

    def __init__(self, value: str) -> None:
        self.stood = [value]
        self.at: int | None = None

    def change(self, value: str) -> None:
        if value != self.stood[-1]:
            self.stood.append(value)
            self.at = None

    def undo(self) -> str | None:
        back_to = (len(self.stood) - 1 if self.at is None else self.at) - 1
        if back_to < 0:
            return None
        self.stood.append(self.stood[back_to])
        self.at = back_to
        return self.stood[-1]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=12))
async def test_undo_does_as_its_model(scope: Scope, steps: list[str | None]) -> None:
    """None is an undo, a letter a change to that value."""
    model, block = Model("a"), await blocks.create(scope, NewBlock(label="human", value="a"))
    for step in steps:
        if step is not None:
            model.change(step)
            await blocks.update(scope, block.id, BlockChanges(value=step))
        elif (expected := model.undo()) is not None:
            assert (await blocks.undo(scope, block.id)).value == expected
        else:
            with pytest.raises(errors.Conflict, match="no earlier value"):
                await blocks.undo(scope, block.id)
    assert (await values(scope, block))[::-1] == model.stood[:-1]
