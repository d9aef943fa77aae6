"""What many writers are promised, on a pool of one connection: they take turns, and nothing may need a second one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.blocks import BlockChanges, NewBlock
from agentmem_store.models.memories import MemoryChanges, NewMemory
from agentmem_store.models.messages import MessageChanges, NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.tools import NewTool, ToolChanges
from agentmem_store.models.users import NewUser, UserChanges
from agentmem_store.repositories import agents, blocks, memories, messages, organizations, tools, users
from agentmem_store.repositories.changing import Edit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.scope import Scope

WRITERS = 16


@pytest.fixture
async def single(dsn: str) -> AsyncIterator[Scope]:
    """The scope of a fresh organization on a pool of one connection."""
    async with Database(dsn, DEVELOPMENT.with_(min_size=1, max_size=1)) as db:
        organization = await organizations.create(db, NewOrganization(name="single"))
        yield db.tenant(organization.id)


async def test_sixteen_writers_on_one_block_lose_no_update(single: Scope) -> None:
    block = await blocks.create(single, NewBlock(label="log", limit=10_000))
    words = [f"word {n}" for n in range(WRITERS)]
    rows = await asyncio.gather(*(blocks.append(single, block.id, word) for word in words))
    stored = await blocks.get(single, block.id)
    assert sorted(stored.value.split("\n")) == sorted(words)
    assert sorted(row.version for row in rows) == [*range(2, WRITERS + 2)]


async def test_eight_writers_on_one_conversation_give_the_exact_sequence(single: Scope) -> None:
    agent = await agents.create(single, NewAgent(name="busy"))

    async def write(writer: int) -> None:
        for turn in range(10):
            said = [NewMessage(role="user", text=f"{writer}:{turn}{part}") for part in "ab"]
            await messages.append(single, agent.id, said)

    await asyncio.gather(*(write(writer) for writer in range(8)))
    rows = await messages.recent(single, agent.id, limit=1000)
    assert [row.seq for row in rows] == list(range(1, 161))
    for writer in range(8):
        own = [row.text for row in rows if str(row.text).startswith(f"{writer}:")]
        assert own == [f"{writer}:{turn}{part}" for turn in range(10) for part in "ab"]


async def test_transactions_of_several_statements_take_turns(single: Scope) -> None:
    block = await blocks.create(single, NewBlock(label="count", value="0"))

    async def count_up() -> None:
        async with single.transaction() as tx:
            seen = await blocks.get(tx, block.id)
            changes = BlockChanges(value=str(int(seen.value) + 1))
            await blocks.update(tx, block.id, changes, expected_version=seen.version)

    await asyncio.gather(*(count_up() for _ in range(WRITERS)))
    assert (await blocks.get(single, block.id)).value == str(WRITERS)


TABLES: dict[str, tuple[Any, Any]] = {
    "users": (users, UserChanges),
    "agents": (agents, AgentChanges),
    "tools": (tools, ToolChanges),
    "blocks": (blocks, BlockChanges),
    "memories": (memories, MemoryChanges),
    "messages": (messages, MessageChanges),
}


async def twenty(scope: Scope, table: str) -> list[Any]:
    """Twenty rows of a table."""
    if table == "messages":
        agent = await agents.create(scope, NewAgent())
        return await messages.append(scope, agent.id, [NewMessage(role="user", text=f"{n}") for n in range(20)])
    new: dict[str, Any] = {
        "users": [NewUser(name=f"{n}") for n in range(20)],
        "agents": [NewAgent(name=f"{n}") for n in range(20)],
        "tools": [NewTool(name=f"{n}") for n in range(20)],
        "blocks": [NewBlock(label=f"{n}") for n in range(20)],
        "memories": [NewMemory(content=f"{n}") for n in range(20)],
    }
    rows: list[Any] = await TABLES[table][0].create_many(scope, new[table])
    return rows


@pytest.mark.parametrize("table", TABLES)
async def test_overlapping_batches_of_sixteen_writers_do_not_deadlock(single: Scope, table: str) -> None:
    module, changes = TABLES[table]
    rows = await twenty(single, table)

    async def change(writer: int) -> None:
        overlapping = rows[writer // 2 : writer // 2 + 10][:: 1 if writer % 2 else -1]
        made = await module.update_many(single, [Edit(row.id, changes(metadata={"of": writer})) for row in overlapping])
        assert [row.id for row in made] == [row.id for row in overlapping]

    await asyncio.gather(*(change(writer) for writer in range(WRITERS)))
    for place, row in enumerate([await module.get(single, row.id) for row in rows]):
        touched = sum(writer // 2 <= place < writer // 2 + 10 for writer in range(WRITERS))
        assert row.version == 1 + touched
