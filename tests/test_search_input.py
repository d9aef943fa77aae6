"""Whatever is typed into a search is answered, or refused by a typed error before any I/O: never by the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, memories, messages, organizations
from agentmem_store.search_query import CANDIDATES, FILTERED_CANDIDATES, QUERY_LENGTH, Asked, candidates, parse

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.scope import Scope

TEXT = 'a b <x> "绿茶馆" é O\'Brien C:\\dir'
OPERATORS = st.text(st.sampled_from("ab\"'-|&!():*<>\\@/ 绿茶馆é\u0301🎉%_"), max_size=60)
ANYTHING = st.text(max_size=60).filter(lambda text: "\x00" not in text)  # st.text() makes no surrogates
NOTHING = [
    "",
    " ",
    "\t\n",
    "the",
    "the is a of",
    "-",
    "--",
    '"',
    '""',
    "'",
    "\\",
    "!",
    "&|!()<->:*",
    "...",
    "@",
    "%_",
    "-the",
]
LONGEST = ["word " * 2_000, "绿" * QUERY_LENGTH, "-a " * 3_000, '"a" ' * 2_500, "é" * QUERY_LENGTH, "(" * QUERY_LENGTH]


async def ask(scope: Scope, agent_id: UUID, query: str) -> None:
    for hit in await memories.search(scope, query, highlight=True):
        assert hit.memory.content == TEXT
    for found in await messages.search(scope, agent_id, query, highlight=True, surrounding=1):
        assert found.message.text == TEXT


async def kept(scope: Scope) -> UUID:
    """Store one memory and one message; return their agent."""
    agent = await agents.create(scope, NewAgent(name="bot"))
    await memories.create(scope, NewMemory(content=TEXT))
    await messages.append(scope, agent.id, [NewMessage(role="user", text=TEXT)])
    return agent.id


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries=st.lists(OPERATORS | ANYTHING, max_size=5))
def test_nothing_that_is_typed_is_an_error(dsn: str, queries: list[str]) -> None:
    async def run() -> None:
        async with Database(dsn, DEVELOPMENT) as db:
            scope = db.tenant((await organizations.create(db, NewOrganization(name="any"))).id)
            agent_id = await kept(scope)
            for query in queries:
                await ask(scope, agent_id, query)
            await organizations.hard_delete(db, scope.organization_id)

    asyncio.run(run())


@pytest.mark.parametrize("query", NOTHING)
async def test_a_query_without_words_finds_nothing(scope: Scope, query: str) -> None:
    agent_id = await kept(scope)
    assert await memories.search(scope, query, highlight=True) == []
    assert await messages.search(scope, agent_id, query, highlight=True, surrounding=1) == []


@pytest.mark.parametrize("query", LONGEST, ids=[query[:4] for query in LONGEST])
async def test_the_longest_query_is_answered(scope: Scope, query: str) -> None:
    await ask(scope, await kept(scope), query)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("x" * (QUERY_LENGTH + 1), "10,?000"),
        ("word " * 20_000, "10,?000"),
        ("nul \x00", "NUL"),
        ("half \ud83c", "surrogate"),
        (5, "text|string"),
        (None, "text|string"),
    ],
    ids=["too long", "100 kB", "NUL", "surrogate", "number", "none"],
)
async def test_what_cannot_be_asked_is_refused_with_the_reason(scope: Scope, query: str, reason: str) -> None:
    agent_id = (await agents.create(scope, NewAgent(name="bot"))).id
    for asked in (memories.search(scope, query), messages.search(scope, agent_id, query)):
        with pytest.raises(errors.ValidationError, match=reason) as caught:
            await asked
        assert caught.value.problems[0].field == "query"


@pytest.mark.parametrize("number", [-1, 11, True, 1.5, "2"])
async def test_surrounding_turns_are_0_to_10(scope: Scope, number: int) -> None:
    agent_id = (await agents.create(scope, NewAgent(name="bot"))).id
    with pytest.raises(errors.ValidationError, match="surrounding"):
        await messages.search(scope, agent_id, "a", surrounding=number)


async def test_long_filters_find_nothing(scope: Scope) -> None:
    agent_id = await kept(scope)
    assert await memories.search(scope, "a b", memory_type="t" * 5_000, memory_scope="'s", level="\\") == []
    assert await messages.search(scope, agent_id, "a b", group_id="g" * 5_000) == []


def test_a_query_is_taken_apart() -> None:
    assert parse('a "b c" -d -"e f" g-h') == Asked("a b c g-h", ["b c"], ["d", "e f"])
    assert parse('say "hello') == Asked('say " hello', [], [])
    assert parse("- -- ---x") == Asked("- -- ---x", [], [])
    assert parse('-"') == Asked("", [], ['"'])
    assert len(parse('"a" ' * 20).phrases) == len(parse("-a " * 20).excluded) == 16


def test_more_memories_are_looked_at_where_more_are_wanted_or_a_filter_may_leave_few() -> None:
    looked = [candidates(limit, filtered=False, by_vector=False) for limit in (1, 10, 50, 100, 1000)]
    by_vector = [candidates(limit, filtered=False, by_vector=True) for limit in (1, 10, 50, 100, 1000)]
    assert looked == sorted(looked)
    assert looked[0] < looked[-1] == CANDIDATES
    assert all(fewer <= more <= CANDIDATES for fewer, more in zip(looked, by_vector, strict=True))
    assert candidates(1, filtered=True, by_vector=False) == FILTERED_CANDIDATES
