"""Searching: what is found, in any language, and that nothing a user types is an error."""

# ruff: noqa: RUF001 (letters of other scripts are the point)

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem_store import errors, migrations
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import MetadataFilter, NewMemory
from agentmem_store.models.messages import MessageFilter, Neighbours, NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import agents, memories, messages, organizations, search_terms, users
from agentmem_store.search_query import Asked, parse
from tests.servers import admin, on_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from agentmem_store.models.agents import Agent
    from agentmem_store.scope import Scope

ALONE = Neighbours(after=0, before=0)

# language, content, a query that means it in another form: case, accents, width, normal form, inflection.
CORPUS = [
    ("english", "The travellers were RUNNING through the old library", "traveller run LIBRARIES"),
    ("german", "Die Straße nach Köln war gesperrt", "STRASSE KOLN"),
    ("french", "Le château fut construit près de la forêt", "CHATEAU"),
    ("spanish", "Reservamos dos habitaciones con vista", "habitación"),
    ("italian", "Abbiamo mangiato una città di ricordi", "citta"),
    ("portuguese", "A reunião sobre educação começou tarde", "educacao"),
    ("turkish", "Akşam yemeğinde balık yedik", "balik"),
    ("polish", "Zażółć gęślą jaźń", "zazolc"),
    ("czech", "ŽIVOT JE KRÁSNÝ", "život"),
    ("vietnamese", "Tôi thích phở bò Hà Nội", "pho"),
    ("greek", "Ο Σίσυφος κουβαλούσε τον βράχο", "ΣΊΣΥΦΟΣ"),
    ("russian", "Ёлка стояла у ДОМА", "елка дом"),
    ("ukrainian", "Її кіт спить на дивані", "ДИВАНІ"),
    ("armenian", "Երևանում անձրև է գալիս", "ԱՆՁՐԵՎ անձրև"),
    ("hebrew", "שָׁלוֹם לכולם", "שלום"),
    ("arabic", "السَّلَامُ عليكم يا أصدقاء", "السلام"),
    ("hindi", "मुझे हिन्दी भाषा पसंद है", "हिन्दी"),
    ("chinese", "周末我喜欢去西湖边喝绿茶。", "绿茶"),
    ("japanese", "来週ﾄﾞﾗｲﾌﾞに行きます", "ドライブ"),
    ("korean", "주말에 도서관에서 공부했어요", "도서관"),
    ("thai", "ฉันชอบกินข้าวผัดกุ้ง", "ข้าวผัด"),
    ("khmer", "ខ្ញុំចូលចិត្តអានសៀវភៅ", "សៀវភៅ"),
    ("mixed", "我的ｉＰｈｏｎｅ手机坏了", "iphone 手机"),
    ("pictographs", "we won 🎉🎉", "🎉"),
    ("decomposed", "un cafe\u0301 noir", "café"),
]


@pytest.fixture(params=["C", "C.UTF-8"])
async def located(request: pytest.FixtureRequest, server: str) -> AsyncIterator[Database]:
    """A migrated database of one locale."""
    name = f"agentmem_located_{os.getpid()}_{request.param.lower().replace('.', '_')}"
    locale = f"ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE '{request.param}'"
    await admin(server, f'CREATE DATABASE "{name}" TEMPLATE template0 {locale}')
    await migrations.up(on_database(server, name))
    async with Database(on_database(server, name), DEVELOPMENT) as db:
        yield db
    await admin(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="bot"))


async def said(scope: Scope, agent: Agent, *texts: str, **fields: object) -> list[UUID]:
    new = [NewMessage(role="user", text=text, **fields) for text in texts]  # type: ignore[arg-type]
    return [message.id for message in await messages.append(scope, agent.id, new)]


async def contents(scope: Scope, query: str, **options: object) -> list[str]:
    return [hit.memory.content for hit in await memories.search(scope, query, **options)]  # type: ignore[arg-type]


async def test_every_language_is_found_in_every_locale(located: Database) -> None:
    for language, content, query in CORPUS:
        organization = await organizations.create(located, NewOrganization(name=language, language=language))
        scope = located.tenant(organization.id)
        others = [text for _, text, _ in CORPUS if text != content]
        await memories.create_many(scope, [NewMemory(content=text) for text in [*others, content]])
        assert (await contents(scope, query))[:1] == [content], language


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


def test_a_query_is_taken_apart() -> None:
    assert parse('a "b c" -d -"e f" g-h') == Asked("a b c g-h", ["b c"], ["d", "e f"])
    assert parse('say "hello') == Asked('say " hello', [], [])
    assert parse("- -- ---x") == Asked("- -- ---x", [], [])
    with pytest.raises(errors.ValidationError):
        parse("x" * 10_001)
    with pytest.raises(errors.ValidationError):
        parse("nul \x00")


OPERATORS = st.text(st.sampled_from("ab\"'-|&!():*<>\\@/ 绿茶é\u0301🎉%_"), max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries=st.lists(OPERATORS | st.text(max_size=60).filter(lambda text: "\x00" not in text), max_size=5))
def test_nothing_that_is_typed_is_an_error(dsn: str, queries: list[str]) -> None:
    async def ask() -> None:
        async with Database(dsn, DEVELOPMENT) as db:
            scope = db.tenant((await organizations.create(db, NewOrganization(name="any"))).id)
            await memories.create(scope, NewMemory(content='a b <x> "绿茶" é'))
            for query in [*queries, "", "the", "-", '"', '""', "word " * 2000]:
                await memories.search(scope, query, highlight=True)
            await organizations.hard_delete(db, scope.organization_id)

    asyncio.run(ask())


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


async def test_highlights_are_right_in_any_script(scope: Scope) -> None:
    await memories.create(scope, NewMemory(content="She ran; the Runners run. 我喜欢喝绿茶，茶"))
    [hit] = await memories.search(scope, "RUNNING 绿茶", highlight=True)
    assert [hit.memory.content[start:end] for start, end in hit.highlights] == ["run", "绿茶"]


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
