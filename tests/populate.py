"""An organization with something in every table, and what the tables hold of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.blocks import Block, NewBlock
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.tools import NewTool, Tool
from agentmem_store.models.users import NewUser, User
from agentmem_store.repositories import agents, block_links, blocks, memories, messages, tool_links, tools, users
from agentmem_store.repositories.block_values import append
from agentmem_store.statements import search_terms

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from agentmem_store.scope import Scope

# Every table that holds rows of an organization. A column named so tells whose rows, or who acted.
TABLES = """
    SELECT c.table_name
    FROM information_schema.columns AS c
    WHERE c.table_schema = 'agentmem' AND (c.column_name = 'organization_id' OR c.table_name = 'organizations')
    GROUP BY c.table_name
    ORDER BY c.table_name
"""
COLUMNS = """
    SELECT c.table_name, c.column_name, c.udt_name
    FROM information_schema.columns AS c
    WHERE c.table_schema = 'agentmem'
      AND (c.column_name LIKE '%\\_by\\_id' OR c.column_name IN ('user_id', 'agent_id', 'sender_id', 'message_ids')
           OR (c.column_name = 'id' AND c.table_name IN ('users', 'agents')))
    ORDER BY c.table_name, c.column_name
"""


@dataclass
class Population:
    """Two users talk to two agents, who share a block and two tools; each user has a block of their own."""

    ada: User
    bob: User
    guide: Agent
    scout: Agent
    block: Block
    tools: list[Tool]


async def populate(scope: Scope, *, turns: int = 4) -> Population:
    """Store `turns` messages of each user with each agent, as many values of each block, and memories of each kind."""
    ada, bob = await users.create_many(scope, [NewUser(name="Ada"), NewUser(name="Bob")])
    guide, scout = await agents.create_many(scope, [NewAgent(name="guide"), NewAgent(name="scout")])
    shared, *own = await blocks.create_many(
        scope,
        [NewBlock(label="rules"), NewBlock(label="human", user_id=ada.id), NewBlock(label="human", user_id=bob.id)],
    )
    kit = await tools.create_many(scope, [NewTool(name="look"), NewTool(name="ask")])
    for block in (shared, *own):
        for turn in range(turns):
            await append(scope, block.id, str(turn))
    for agent in (guide, scout):
        await block_links.attach_many(scope, [shared.id, *(block.id for block in own)], agent.id)
        await tool_links.attach_many(scope, [tool.id for tool in kit], agent.id)
        await talk(scope, agent, [ada, bob], turns)
    for agent_id, user_id in product((guide.id, scout.id, None), (ada.id, bob.id, None)):
        facts = [NewMemory(content=f"fact {n}", agent_id=agent_id, user_id=user_id) for n in range(2)]
        await memories.create_many(scope, facts)
    for agent in (guide, scout):
        await count_words(scope, agent)
    return Population(ada, bob, guide, scout, shared, kit)


async def talk(scope: Scope, agent: Agent, people: list[User], turns: int) -> None:
    """Let people take turns, and keep all of it in the agent's context."""
    said = [
        NewMessage(role="user", text=f"turn {turn}", user_id=user.id, sender_id=str(user.id))
        for turn in range(turns)
        for user in people
    ]
    rows = await messages.append(scope, agent.id, said)
    await agents.set_message_ids(scope, agent.id, [row.id for row in rows])


async def count_words(scope: Scope, agent: Agent) -> None:
    """Count the words that are in five rows or more, as a refresh would for an agent with very many."""
    for query in (search_terms.REFRESH_MESSAGES, search_terms.REFRESH_MEMORIES):
        assert await scope.fetch_one(query, agent.id, 1000, 5, 5) == 2


async def contents(connection: asyncpg.Connection[Any], organization_id: UUID) -> dict[str, list[str]]:
    """Return every row of an organization, as JSON text, by table."""
    held = {}
    for (table,) in await connection.fetch(TABLES):
        key = "id" if table == "organizations" else "organization_id"
        rows = await connection.fetch(
            f"SELECT to_jsonb(t)::text FROM agentmem.{table} AS t WHERE t.{key} = $1 ORDER BY 1", organization_id
        )
        held[table] = [row[0] for row in rows]
    return held


def without(rows: dict[str, list[str]], *ids: UUID) -> dict[str, list[str]]:
    """Return those rows that name none of the ids."""
    return {table: [row for row in kept if not any(str(one) in row for one in ids)] for table, kept in rows.items()}
