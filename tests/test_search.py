"""Searching: what is found, in which order, and what comes along with it."""

# ruff: noqa: RUF001 (signs of other scripts are the point)

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import MetadataFilter, NewMemory
from agentmem_store.models.messages import MessageFilter, Neighbours, NewMessage
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import agents, memories, messages, search_terms, users

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.models.agents import Agent
    from agentmem_store.scope import Scope

ALONE = Neighbours(after=0, before=0)


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="bot"))


async def said(scope: Scope, agent: Agent, *texts: str, **fields: object) -> list[UUID]:
    new = [NewMessage(role="user", text=text, **fields) for text in texts]  # type: ignore[arg-type]
    return [message.id for message in await messages.append(scope, agent.id, new)]


async def contents(scope: Scope, query: str, **options: object) -> list[str]:
    return [hit.memory.content for hit in await memories.search(scope, query, **options)]  # type: ignore[arg-type]


async def test_a_rare_word_counts_more_than_a_common_one(scope: Scope) -> None:
    rows = [NewMemory(content=text) for text in ("coffee talk", "coffee mug", "coffee bar", "tea talk")]
    await memories.create_many(scope, rows)
    assert (await contents(scope, "coffee tea"))[0] == "tea talk"


async def test_phrases_are_demanded_and_exclusions_kept_out(scope: Scope) -> None:
    for text in ("a cup of green tea", "green leaves, and a tea", "green tea with milk", "绿茶和牛奶", "红茶"):
        await memories.create(scope, NewMemory(content=text))
    assert set(await contents(scope, "green tea")) == {
        "a cup of green tea",
        "green leaves, and a tea",
        "green tea with milk",
    }
    assert set(await contents(scope, '"green tea"')) == {"a cup of green tea", "green tea with milk"}
    assert await contents(scope, '"cup of GREEN"') == ["a cup of green tea"]
    assert await contents(scope, '"green tea" -milk') == ["a cup of green tea"]
    assert await contents(scope, '茶 -"绿茶"') == ["红茶"]
    assert await contents(scope, "-milk") == []


async def test_the_answer_beside_a_question_is_found(scope: Scope, agent: Agent) -> None:
    ids = await said(scope, agent, "hello", "how was the piano recital?", "it went wonderfully", "nice", "bye")
    hits = await messages.search(scope, agent.id, "piano recital")
    assert [hit.message.id for hit in hits][:2] == [ids[1], ids[2]]
    assert hits[1].parts["text"] == 0
    assert hits[1].parts["neighbours"] == pytest.approx(hits[1].score)
    alone = await messages.search(scope, agent.id, "piano recital", neighbours=ALONE)
    assert [hit.message.id for hit in alone] == [ids[1]]


async def test_neighbours_are_of_the_same_user_and_group_and_visible(scope: Scope, agent: Agent) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    named = await said(scope, agent, "the piano")
    await said(scope, agent, "another user's", user_id=user.id)
    assert [hit.message.id for hit in await messages.search(scope, agent.id, "piano")] == named
    hidden = await said(scope, agent, "a violin?", "gone", group_id="two")
    await messages.delete(scope, hidden[1])
    assert [hit.message.id for hit in await messages.search(scope, agent.id, "violin")] == hidden[:1]


async def test_filters_bind_what_is_found_not_what_stands_beside(scope: Scope, agent: Agent) -> None:
    await said(scope, agent, "where is the piano?")
    [answer] = await messages.append(
        scope, agent.id, [NewMessage(role="assistant", text="upstairs", metadata={"k": 1})]
    )
    for only in (MessageFilter(role="assistant"), MessageFilter(metadata=MetadataFilter(contains={"k": 1}))):
        hits = await messages.search(scope, agent.id, "piano", only=only)
        assert [hit.message.id for hit in hits] == [answer.id]
    late = MessageFilter(since=answer.created_at, until=answer.created_at)
    assert await messages.search(scope, agent.id, "piano", only=late) == []


async def test_name_and_text_parts_are_searched(scope: Scope, agent: Agent) -> None:
    parts = [{"type": "text", "text": "violin"}, {"type": "image", "url": "trumpet"}, "flute", 5]
    await messages.append(scope, agent.id, [NewMessage(role="user", name="Melanie", content=parts)])
    for query, number in (("melanie", 1), ("violins", 1), ("flute", 1), ("trumpet", 0), ("image", 0)):
        assert len(await messages.search(scope, agent.id, query)) == number, query


async def test_a_name_and_a_label_count_double(scope: Scope, agent: Agent) -> None:
    for text in ("A letter for Ada came", "Ada: a letter came", "A letter: it came for Ada"):
        await memories.create(scope, NewMemory(content=text))
    hits = await memories.search(scope, "Ada")
    assert hits[0].memory.content == "Ada: a letter came"
    assert hits[0].score > 1.9 * hits[1].score == pytest.approx(1.9 * hits[2].score)
    await messages.append(
        scope,
        agent.id,
        [NewMessage(role="user", name="Ben", text="Ada came"), NewMessage(role="user", name="Ada", text="I came")],
    )
    names = [hit.message.name for hit in await messages.search(scope, agent.id, "Ada", neighbours=ALONE)]
    assert names == ["Ada", "Ben"]


async def test_a_phrase_of_a_script_without_spaces_stands_together(scope: Scope, agent: Agent) -> None:
    together, apart = "我们去了咖啡馆。", "咖啡很好,啡馆是什么?馆咖"
    for text in (together, apart):
        await memories.create(scope, NewMemory(content=text))
        await messages.append(scope, agent.id, [NewMessage(role="user", text=text)])
    assert set(await contents(scope, "咖啡馆")) == {together, apart}
    assert await contents(scope, '"咖啡馆"') == [together]
    assert await contents(scope, '咖啡 -"咖啡馆"') == [apart]
    assert await contents(scope, "咖啡 -咖啡馆") == [apart]
    assert await contents(scope, '"去了咖啡馆" -咖啡') == []
    for query, text in (('"咖啡馆"', together), ("咖啡 -咖啡馆", apart)):
        assert [hit.message.text for hit in await messages.search(scope, agent.id, query)] == [text]
    assert await contents(scope, '"ＫＯＢＥの咖啡馆"') == []


async def test_neighbours_too_fulfil_what_is_demanded(scope: Scope, agent: Agent) -> None:
    await said(scope, agent, "the red piano?", "a violin", "no piano")
    found = {hit.message.text for hit in await messages.search(scope, agent.id, "piano -violin")}
    assert found == {"the red piano?", "no piano"}
    assert [hit.message.text for hit in await messages.search(scope, agent.id, '"red piano"')] == ["the red piano?"]


async def test_surrounding_turns_come_along(scope: Scope, agent: Agent) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    ids = await said(scope, agent, "one", "two", "three")
    await said(scope, agent, "aside", user_id=user.id)
    await said(scope, agent, "elsewhere", group_id="g")
    ids += await said(scope, agent, "a piano", "five", "six", "seven")
    await messages.delete(scope, ids[2])
    await messages.delete(scope, ids[4])
    [hit] = await messages.search(scope, agent.id, "piano", surrounding=2, neighbours=ALONE)
    assert [turn.text for turn in hit.before] == ["one", "two"]
    assert [turn.text for turn in hit.after] == ["six", "seven"]
    [alone] = await messages.search(scope, agent.id, "elsewhere", surrounding=10, neighbours=ALONE)
    assert (alone.before, alone.after) == ([], [])
    [plain] = await messages.search(scope, agent.id, "piano", neighbours=ALONE)
    assert (plain.before, plain.after) == ([], [])


async def test_surrounding_turns_are_of_the_same_user_and_group(scope: Scope, agent: Agent) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    for n in range(3):
        await said(scope, agent, f"of all {n}")
        await said(scope, agent, f"of user {n}", user_id=user.id)
        await said(scope, agent, f"of group {n}", group_id="g")
        await said(scope, agent, f"of both {n}", user_id=user.id, group_id="g")
    for hit in await messages.search(scope, agent.id, "1", surrounding=1, neighbours=ALONE):
        kind = (hit.message.text or "").removesuffix("1")
        assert [turn.text for turn in hit.before + hit.after] == [kind + "0", kind + "2"]


async def test_highlights_say_where_in_which_field(scope: Scope, agent: Agent) -> None:
    await memories.create(scope, NewMemory(content="She ran; the Runners run. 我喜欢喝绿茶，茶"))
    [hit] = await memories.search(scope, "RUNNING 绿茶", highlight=True)
    assert [hit.memory.content[start:end] for start, end in hit.highlights["content"]] == ["run", "绿茶"]
    parts = [{"type": "text", "text": "runs"}, {"type": "image"}, "no", "two runs, １０ runs"]
    await messages.append(scope, agent.id, [NewMessage(role="user", name="Run", text="none", content=parts)])
    [said_] = await messages.search(scope, agent.id, "run 10", highlight=True)
    assert said_.highlights == {"name": [(0, 3)], "content.0": [(0, 4)], "content.3": [(4, 8), (10, 12), (13, 17)]}


async def test_numbers_with_a_dot_are_highlighted_whole_and_names_by_their_parts(scope: Scope) -> None:
    await memories.create(scope, NewMemory(content="see docs.example.com, v 3.14"))
    for query, expected in (("docs.example.com 3.14", ["docs", "example", "com", "3.14"]), ("example", ["example"])):
        [hit] = await memories.search(scope, query, highlight=True)
        assert [hit.memory.content[start:end] for start, end in hit.highlights["content"]] == expected


@pytest.mark.parametrize("accent", ["", " à"])
async def test_parts_of_names_and_sentences_without_a_space_between_are_found(scope: Scope, accent: str) -> None:
    """Of what a dot joins the parser would make one word; only before a digit it is part of a number."""
    text = "Ask ben.smith@example.co.uk about notes.txt on 3.14 with self.parse().The rest waits" + accent
    await memories.create(scope, NewMemory(content=text))
    for query in ("smith", "example", "notes", "notes.txt", "parse", "rest", '"ben.smith@example"', "3.14"):
        [hit] = await memories.search(scope, query, highlight=True)
        assert hit.highlights, query
    assert await memories.search(scope, "14") == []


async def test_very_long_text_is_stored_and_indexed_up_to_its_limit(scope: Scope) -> None:
    texts = [
        "needle " + "".join(chr(0x4E00 + n % 20_000) + chr(0x4E00 + n * 7 % 20_000) for n in range(100_000)),
        "needle " + "x" * 5_000 + " " + " ".join(f"é{n}" for n in range(60_000)),
        "needle " + "\ufdfa" * 60_000,
        "needle " + "🎉" * 60_000,
    ]
    for text in texts:
        await memories.create(scope, NewMemory(content=text))
    assert len(await memories.search(scope, "needle")) == len(texts)
    await memories.create(scope, NewMemory(content="y " * 30_000 + "thimble"))
    assert await memories.search(scope, "thimble") == []


async def test_frequencies_change_the_effort_and_not_what_is_found(scope: Scope, agent: Agent) -> None:
    rows = [f"common {'rare ' if n % 500 == 0 else ''}{'usual ' if n % 3 == 0 else ''}{n}" for n in range(4_000)]
    await memories.create_many(scope, [NewMemory(agent_id=agent.id, content=text) for text in rows])
    queries = ("rare common", "usual common", "common", "rare 1500 usual")
    before = {query: await contents(scope, query, agent_id=agent.id) for query in queries}
    assert await search_terms.refresh(scope, agent.id) == 3
    for query, found in before.items():
        after = await contents(scope, query, agent_id=agent.id)
        assert len(after) == len(found) == 10
        assert after[0].split()[:2] == found[0].split()[:2], query
    await memories.create(scope, NewMemory(agent_id=agent.id, content="a newcomer"))
    assert await contents(scope, "newcomer common", agent_id=agent.id, limit=1) == ["a newcomer"]


async def test_a_small_agent_keeps_no_frequencies(scope: Scope, agent: Agent) -> None:
    await said(scope, agent, "one", "two")
    assert await search_terms.refresh(scope, agent.id) == 0
