from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.messages import MessageChanges, NewMessage
from agentmem_store.repositories import agents, creation, messages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.scope import Scope


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="planner"))


def said(*texts: str) -> list[NewMessage]:
    return [NewMessage(role="user", text=text) for text in texts]


async def one_by_one(new: list[NewMessage]) -> AsyncIterator[NewMessage]:
    for message in new:
        yield message


async def test_a_large_batch_is_stored_in_order(scope: Scope, agent: Agent) -> None:
    rows = await messages.create_many(scope, agent.id, said(*map(str, range(2500))))
    assert [(row.seq, row.text) for row in rows] == [(n + 1, str(n)) for n in range(2500)]


async def test_a_stream_is_stored_a_part_at_a_time(scope: Scope, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "BATCH", 2)
    assert await messages.create_many(scope, agent.id, one_by_one(said(*"abcde"))) == 5
    assert [row.text for row in await messages.recent(scope, agent.id)] == [*"abcde"]


async def test_a_stream_that_fails_stores_nothing(scope: Scope, agent: Agent) -> None:
    async def broken() -> AsyncIterator[NewMessage]:
        yield said("a")[0]
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it is the stream's own
        await messages.create_many(scope, agent.id, broken())
    assert await messages.count(scope, agent.id) == 0


async def test_strict_refuses_other_content(scope: Scope, agent: Agent) -> None:
    (stored,) = await messages.create_many(scope, agent.id, said("a"))
    other = NewMessage(id=stored.id, role="user", text="b")
    with pytest.raises(errors.Conflict, match="item 1"):
        await messages.create_many(scope, agent.id, [*said("c"), other])
    assert await messages.count(scope, agent.id) == 1


async def test_an_item_is_named_by_its_place_in_the_whole_batch(scope: Scope, agent: Agent) -> None:
    (stored,) = await messages.create_many(scope, agent.id, said("a"))
    new = [*said(*map(str, range(1200))), NewMessage(id=stored.id, role="user", text="b")]
    with pytest.raises(errors.Conflict, match="item 1200: "):
        await messages.create_many(scope, agent.id, new)
    with pytest.raises(errors.Conflict, match="item 1200: "):
        await messages.create_many(scope, agent.id, one_by_one(new))


async def test_upsert_tells_true_from_one(scope: Scope, agent: Agent) -> None:
    new = NewMessage(role="user", text="a", metadata={"k": 1})
    await messages.create_many(scope, agent.id, [new])
    other = new.model_copy(update={"metadata": {"k": True}})
    (row,) = await messages.create_many(scope, agent.id, [other], mode="upsert")
    assert row.metadata == {"k": True}
    assert row.version == 2


async def test_skip_leaves_what_is_stored(scope: Scope, agent: Agent) -> None:
    (stored,) = await messages.create_many(scope, agent.id, said("a"))
    other = NewMessage(id=stored.id, role="user", text="b")
    rows = await messages.create_many(scope, agent.id, [*said("c"), other], mode="skip")
    assert [row.text for row in rows] == ["c", "a"]
    assert rows[1] == stored


async def test_upsert_rewrites_what_differs(scope: Scope, agent: Agent) -> None:
    new = said("a", "b")
    stored = await messages.create_many(scope, agent.id, new)
    await messages.update(scope, stored[1].id, MessageChanges(text="changed"))
    other = NewMessage(id=stored[0].id, role="user", text="A", metadata={"k": 1})
    rows = await messages.create_many(scope, agent.id, [new[1], other, *said("c")], mode="upsert")
    assert [(row.text, row.seq, row.version) for row in rows] == [("b", 2, 3), ("A", 1, 2), ("c", 3, 1)]
    again = await messages.create_many(scope, agent.id, [new[1], other], mode="upsert")
    assert again == rows[:2], "nothing differs, so nothing is written"


async def test_upsert_does_not_change_who_said_it(scope: Scope, agent: Agent) -> None:
    (stored,) = await messages.create_many(scope, agent.id, said("a"))
    with pytest.raises(errors.Conflict, match="cannot be changed"):
        await messages.create_many(
            scope, agent.id, [NewMessage(id=stored.id, role="assistant", text="a")], mode="upsert"
        )


async def test_an_unknown_mode_is_named(scope: Scope, agent: Agent) -> None:
    with pytest.raises(errors.ValidationError, match="mode: must be strict, skip or upsert"):
        await messages.create_many(scope, agent.id, said("a"), mode="force")  # type: ignore[call-overload]


async def test_an_id_given_twice_is_named(scope: Scope, agent: Agent) -> None:
    (new,) = said("a")
    with pytest.raises(errors.ValidationError, match="item 1: id"):
        await messages.create_many(scope, agent.id, [new, new])


async def test_the_in_context_list_is_changed_in_one_statement(scope: Scope, agent: Agent) -> None:
    first, second, third = (uuid4() for _ in range(3))
    assert (await agents.append_message_ids(scope, agent.id, [first, second])).message_ids == [first, second]
    assert (await agents.append_message_ids(scope, agent.id, [third])).message_ids == [first, second, third]
    assert (await agents.trim_message_ids(scope, agent.id, 2)).message_ids == [second, third]
    assert (await agents.trim_message_ids(scope, agent.id, 9)).message_ids == [second, third]
    assert (await agents.set_message_ids(scope, agent.id, [first])).message_ids == [first]
    emptied = await agents.trim_message_ids(scope, agent.id, 0)
    assert (emptied.message_ids, emptied.version) == ([], 7)
    with pytest.raises(errors.NotFound):
        await agents.append_message_ids(scope, uuid4(), [first])
