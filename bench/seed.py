"""Rows to measure on: texts in which words are as unevenly common as in a language, always the same ones."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import (
    NewAgent,
    NewBlock,
    NewMemory,
    NewMessage,
    NewOrganization,
    NewTool,
    agents,
    blocks,
    memories,
    messages,
    organizations,
    tools,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from uuid import UUID

    import asyncpg

    from agentmem_store import Database, Scope
    from bench.sizes import Size

__all__ = ["WORDS", "World", "add_memories", "add_messages", "add_others", "make_world", "question", "settle", "texts"]

# Two syllables each, so that they stay what they are when they are stemmed, and are in no list of common words.
_SYLLABLES: Final = tuple(a + b for a in "bdfgklmnprtv" for b in "aou")
WORDS: Final = tuple(first + second + "k" for first in _SYLLABLES for second in _SYLLABLES)
_ZIPF: Final = tuple(itertools.accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
_LENGTHS: Final = range(15, 50)  # words of a text; about 190 characters
_BATCH: Final = 1_000


@dataclass(frozen=True)
class World:
    """An organization; its first agent has messages, memories, blocks and tools."""

    organization_id: UUID
    agent_ids: tuple[UUID, ...]
    memory_ids: tuple[UUID, ...]

    def agent(self, n: int) -> UUID:
        """Return an agent, another one for each of some calls in turn."""
        return self.agent_ids[n % len(self.agent_ids)]

    def memory(self, n: int) -> UUID:
        """Return a memory of the first agent, in turn."""
        return self.memory_ids[n % len(self.memory_ids)]


def texts(count: int, *, seed: int = 0) -> Iterator[str]:
    """Yield texts, always the same ones for a seed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield " ".join(chance.choices(WORDS, cum_weights=_ZIPF, k=chance.choice(_LENGTHS)))


def question(n: int) -> str:
    """Return three words to look for: a common one, a less common one and a rare one."""
    return f"{WORDS[10 + n % 20]} {WORDS[100 + n % 90]} {WORDS[500 + n % 700]}"


async def make_world(db: Database, size: Size) -> World:
    """Store an organization as a question expects it."""
    organization = await organizations.create(db, NewOrganization(name="bench"))
    scope = db.tenant(organization.id)
    made = await agents.create_many(scope, [NewAgent(name=f"agent {n}") for n in range(size.agents)])
    agent_ids = tuple(agent.id for agent in made)
    await add_messages(scope, agent_ids[0], size.messages)
    kept = [NewMemory(agent_id=agent_ids[0], content=text) for text in texts(size.memories)]
    stored = await memories.create_many(scope, kept)
    for label in ("human", "persona", "rules"):
        block = await blocks.create(scope, NewBlock(label=label, value=next(texts(1))))
        await blocks.attach(scope, block.id, agent_ids[0])
    for name in ("look", "ask", "write", "send", "wait"):
        tool = await tools.create(scope, NewTool(name=name, description="What it does."))
        await tools.attach(scope, tool.id, agent_ids[0])
    return World(organization.id, agent_ids, tuple(memory.id for memory in stored))


async def add_messages(scope: Scope, agent_id: UUID, count: int) -> None:
    """Append messages of user and assistant in turn."""
    said = (NewMessage(role=("user", "assistant")[n % 2], text=text) for n, text in enumerate(texts(count, seed=1)))
    while batch := list(itertools.islice(said, _BATCH)):
        await messages.append(scope, agent_id, batch)


async def add_memories(scope: Scope, agent_id: UUID, count: int) -> None:
    """Store memories in one transaction."""

    async def new() -> AsyncGenerator[NewMemory]:
        for text in texts(count, seed=2):
            yield NewMemory(agent_id=agent_id, content=text)

    await memories.create_many(scope, new())


_OTHERS: Final = """
WITH other AS (
    INSERT INTO agentmem.organizations (id, name)
    SELECT gen_random_uuid(), 'other'
    FROM generate_series(1, $1)
    RETURNING id
),
agent AS (
    INSERT INTO agentmem.agents (organization_id, id, name)
    SELECT o.id, gen_random_uuid(), 'agent'
    FROM other AS o
    RETURNING organization_id, id
),
counter AS (
    INSERT INTO agentmem.message_counters (organization_id, agent_id)
    SELECT a.organization_id, a.id
    FROM agent AS a
),
memory AS (
    INSERT INTO agentmem.memories (organization_id, id, agent_id, content, hash)
    SELECT a.organization_id, gen_random_uuid(), a.id, t.content, encode(sha256(convert_to(t.content, 'UTF8')), 'hex')
    FROM agent AS a
    CROSS JOIN unnest($2::text[]) AS t (content)
)
SELECT a.organization_id, a.id
FROM agent AS a
"""


async def add_others(connection: asyncpg.Connection[Any], count: int, rows_each: int) -> list[tuple[UUID, UUID]]:
    """Store other organizations, each with an agent that has memories; return their and their agents' ids."""
    rows = await connection.fetch(_OTHERS, count, list(texts(rows_each, seed=3)))
    return [(row[0], row[1]) for row in rows]


async def settle(connection: asyncpg.Connection[Any]) -> None:
    """Leave the tables as they are after a while: vacuumed, with statistics."""
    for table in ("organizations", "agents", "messages", "message_counters", "memories"):
        await connection.execute(f"VACUUM (ANALYZE) agentmem.{table}")
