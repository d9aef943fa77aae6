from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.messages import MessageChanges, NewMessage
from agentmem_store.repositories import agents, messages
from agentmem_store.scope import Scope


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="planner"))


def said(*texts: str, **more: object) -> list[NewMessage]:
    return [NewMessage.model_validate({"role": "user", "text": text, **more}) for text in texts]


async def test_message_crud(scope: Scope, agent: Agent) -> None:
    new = NewMessage(
        role="assistant",
        text="Grüße, 世界",
        content=[{"type": "text", "text": "part"}],
        name="planner",
        group_id="g",
        model="m",
        tool_calls=[{"id": "1"}],
        tool_call_id="t",
        tool_returns=[1],
        step_id="s",
        otid="o",
        sender_id="x",
        metadata={"k": {"deep": [1, None, "ü"]}},
    )
    created = await messages.create(scope, agent.id, new)

    assert created.model_dump(include=set(NewMessage.model_fields) - {"created_at"}) == new.model_dump(
        exclude={"created_at"}
    )
    assert (created.seq, created.version, created.agent_id) == (1, 1, agent.id)
    assert await messages.get(scope, created.id) == created

    changed = await messages.update(scope, created.id, MessageChanges(text=None, content=None, metadata={}))
    assert (changed.text, changed.content, changed.metadata, changed.version) == (None, None, {}, 2)

    deleted = await messages.delete(scope, created.id)
    assert deleted.is_deleted
    assert await messages.find(scope, created.id) is None

    assert (await messages.restore(scope, created.id)).seq == 1
    await messages.hard_delete(scope, created.id)
    with pytest.raises(errors.NotFound):
        await messages.get(scope, created.id)
    assert (await messages.append(scope, agent.id, said("next")))[0].seq == 2


async def test_append_returns_rows_in_input_order_with_contiguous_places(scope: Scope, agent: Agent) -> None:
    rows = await messages.append(scope, agent.id, said(*"abcdef"))
    assert [(row.seq, row.text) for row in rows] == list(zip(range(1, 7), "abcdef", strict=True))


async def test_append_sent_again_returns_the_stored_rows_and_burns_no_place(scope: Scope, agent: Agent) -> None:
    new = said("a", "b")
    first = await messages.append(scope, agent.id, new)
    mixed = [new[1], *said("c"), new[0]]

    again = await messages.append(scope, agent.id, mixed)

    assert [row.seq for row in again] == [2, 3, 1]
    assert again[0] == first[1]
    assert await messages.append(scope, agent.id, new) == first
    assert await messages.count(scope, agent.id) == 3


async def test_append_of_a_stored_id_with_other_content_stores_nothing(scope: Scope, agent: Agent) -> None:
    (stored,) = await messages.append(scope, agent.id, said("a"))
    batch = [*said("b"), NewMessage(id=stored.id, role="user", text="not a"), *said("c")]

    with pytest.raises(errors.Conflict, match="item 1: this message is stored with other content") as caught:
        await messages.append(scope, agent.id, batch)

    assert caught.value.current == stored
    assert await messages.count(scope, agent.id) == 1
    assert (await messages.append(scope, agent.id, said("d")))[0].seq == 2


async def test_append_after_a_change_returns_the_row_as_it_stands(scope: Scope, agent: Agent) -> None:
    new = said("a")
    (row,) = await messages.append(scope, agent.id, new)
    changed = await messages.update(scope, row.id, MessageChanges(text="b"))
    assert await messages.append(scope, agent.id, new) == [changed]


async def test_append_names_the_parent_that_is_missing(scope: Scope, agent: Agent, other: Scope) -> None:
    with pytest.raises(errors.NotFound, match="no such agent"):
        await messages.append(scope, uuid4(), said("a"))
    with pytest.raises(errors.NotFound, match="no such agent"):
        await messages.append(other, agent.id, said("a"))
    with pytest.raises(errors.NotFound, match="item 1: no such user"):
        await messages.append(scope, agent.id, [*said("a"), *said("b", user_id=uuid4())])
    await agents.delete(scope, agent.id)
    with pytest.raises(errors.NotFound, match="no such agent"):
        await messages.append(scope, agent.id, said("a"))
    await agents.restore(scope, agent.id)
    assert await messages.count(scope, agent.id) == 0


async def test_recent_is_the_newest_oldest_first(scope: Scope, agent: Agent) -> None:
    await messages.append(scope, agent.id, said(*"abcde"))
    assert [row.text for row in await messages.recent(scope, agent.id, limit=3)] == ["c", "d", "e"]


async def test_threads_are_kept_apart(scope: Scope, agent: Agent) -> None:
    await messages.append(scope, agent.id, said("a", "b", group_id="one"))
    await messages.append(scope, agent.id, said("c", group_id="two"))
    assert [row.text for row in await messages.recent(scope, agent.id, group_id="one")] == ["a", "b"]
    assert await messages.count(scope, agent.id, group_id="two") == 1
    assert [hit.message.text for hit in await messages.search(scope, agent.id, "c a", group_id="two")] == ["c"]
    assert await messages.trim(scope, agent.id, 0, group_id="one") == 2
    assert [row.text for row in await messages.recent(scope, agent.id)] == ["c"]


async def test_list_pages_forward_and_since_goes_on(scope: Scope, agent: Agent) -> None:
    await messages.append(scope, agent.id, said(*"abcde"))
    page = await messages.list(scope, agent.id, limit=2)
    seen = [row.text for row in page.items]
    while page.next:
        page = await messages.list(scope, agent.id, limit=2, cursor=page.next)
        seen += [row.text for row in page.items]
    assert seen == [*"abcde"]
    assert [row.text for row in await messages.since(scope, agent.id, 3)] == ["d", "e"]


async def test_a_cursor_of_another_list_is_refused(scope: Scope, other: Scope, agent: Agent) -> None:
    await messages.append(scope, agent.id, said(*"abc", group_id="g"))
    cursor = (await messages.list(scope, agent.id, limit=1)).next
    for call in (
        messages.list(other, agent.id, cursor=cursor),
        messages.list(scope, agent.id, group_id="g", cursor=cursor),
        messages.by_step(scope, agent.id, "s", cursor=cursor),
        messages.list(scope, agent.id, cursor="nonsense"),
        agents.list(scope, cursor=cursor),
    ):
        with pytest.raises(errors.ValidationError, match="cursor"):
            await call


async def test_around_gives_the_neighbours_and_skips_holes(scope: Scope, agent: Agent) -> None:
    rows = await messages.append(scope, agent.id, said(*"abcdefg"))
    await messages.delete(scope, rows[2].id)
    near = await messages.around(scope, agent.id, rows[3].id, before=2, after=1)
    assert [row.text for row in near] == ["a", "b", "d", "e"]
    with pytest.raises(errors.NotFound):
        await messages.around(scope, agent.id, rows[2].id)


async def test_by_step_lists_a_run(scope: Scope, agent: Agent) -> None:
    await messages.append(scope, agent.id, said("a", "b", step_id="1"))
    await messages.append(scope, agent.id, said("c", step_id="2"))
    page = await messages.by_step(scope, agent.id, "1", limit=1)
    assert [row.text for row in page.items] == ["a"]
    page = await messages.by_step(scope, agent.id, "1", limit=1, cursor=page.next)
    assert ([row.text for row in page.items], page.next) == (["b"], None)


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, ["e"]), (3, ["c", "d", "e"]), (9, [*"abcde"])])
async def test_trim_keeps_the_newest(scope: Scope, agent: Agent, keep: int, left: list[str]) -> None:
    await messages.append(scope, agent.id, said(*"abcde"))
    assert await messages.trim(scope, agent.id, keep) == 5 - len(left)
    assert [row.text for row in await messages.recent(scope, agent.id)] == left


async def test_trim_can_spare_system_messages(scope: Scope, agent: Agent) -> None:
    await messages.append(scope, agent.id, said("rules", role="system"))
    await messages.append(scope, agent.id, said(*"abc"))
    assert await messages.trim(scope, agent.id, 1, spare_system=True) == 2
    assert [row.text for row in await messages.recent(scope, agent.id)] == ["rules", "c"]


async def test_messages_hide_with_their_agent_and_come_back_with_it(scope: Scope, agent: Agent) -> None:
    (row,) = await messages.append(scope, agent.id, said("a"))
    await agents.delete(scope, agent.id)
    assert await messages.find(scope, row.id) is None
    assert await messages.recent(scope, agent.id) == []
    await agents.restore(scope, agent.id)
    assert await messages.get(scope, row.id) == row


async def test_search_finds_any_word_in_both_scripts(scope: Scope, agent: Agent) -> None:
    await messages.append(scope, agent.id, said("I take my coffee black", "the weather is fine", "我喜欢喝绿茶"))
    for query, text in (("coffees and tea", "I take my coffee black"), ("绿茶好喝吗", "我喜欢喝绿茶")):
        hits = await messages.search(scope, agent.id, query)
        assert hits[0].message.text == text
        assert all(hit.parts["text"] == 0 for hit in hits[1:])
    for nothing in ("", "the", "& | ! '", "\\"):
        assert await messages.search(scope, agent.id, nothing) == []


async def test_concurrent_appends_give_one_exact_sequence(tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="busy"))

    async def write(writer: int) -> None:
        for turn in range(10):
            await messages.append(tenant, agent.id, said(f"{writer}:{turn}", f"{writer}:{turn}'"))

    await asyncio.gather(*(write(writer) for writer in range(8)))

    rows = await messages.recent(tenant, agent.id, limit=1000)
    assert [row.seq for row in rows] == list(range(1, 161))
    for writer in range(8):
        own = [row.text for row in rows if row.text and row.text.startswith(f"{writer}:")]
        assert own == [f"{writer}:{turn}{tick}" for turn in range(10) for tick in ("", "'")]


async def test_the_same_batch_sent_by_eight_at_once_is_stored_once(tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="busy"))
    new = said("a", "b")
    results = await asyncio.gather(*(messages.append(tenant, agent.id, new) for _ in range(8)))
    assert all(result == results[0] for result in results)
    assert await messages.count(tenant, agent.id) == 2
    assert (await messages.append(tenant, agent.id, said("c")))[0].seq == 3
