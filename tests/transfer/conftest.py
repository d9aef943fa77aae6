from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import BlockChanges, NewBlock
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.tools import NewTool
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import agents, blocks, memories, messages, tools, users
from agentmem_store.scope import Scope
from tests.servers import admin, on_database
from tests.transfer import NUMBERS, TEXT

_numbers = itertools.count(1)


@pytest.fixture
async def elsewhere(server: str, template: str) -> AsyncIterator[Database]:
    """An open database of its own, migrated and empty."""
    name = f"agentmem_elsewhere_{os.getpid()}_{next(_numbers)}"
    await admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    async with Database(on_database(server, name), DEVELOPMENT) as database:
        yield database
    await admin(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def agent_id(db: Database, tenant: Scope) -> UUID:
    """The agent of a tenant in which every table has rows, and nearly every column a value somewhere."""
    scope = db.tenant(tenant.organization_id, actor_id=uuid4())
    user = await users.create(scope, NewUser(name=TEXT, timezone="Asia/Shanghai", metadata={"k": TEXT}))
    agent = await agents.create(scope, _agent())
    rows = await messages.append(scope, agent.id, [_message(user.id, number) for number in range(3)])
    await messages.delete(scope, rows[1].id)
    await messages.hard_delete(scope, rows[2].id)
    await agents.append_message_ids(scope, agent.id, [row.id for row in rows])
    block = await blocks.create(scope, NewBlock(user_id=user.id, label="human", value="first", description=TEXT))
    await blocks.attach(scope, block.id, agent.id)
    await blocks.update(scope, block.id, BlockChanges(value=TEXT, is_template=True, template_name="t"))
    await blocks.undo(scope, block.id)
    tool = await tools.create(scope, _tool())
    await tools.attach(scope, tool.id, agent.id)
    memory, _ = await memories.create_or_get(scope, _memory(agent.id, user.id))
    await memories.touch(scope, [memory.id])
    await _delete_some(scope)
    async with db.connection() as connection:
        await connection.execute(f"UPDATE agentmem.memories SET metadata = '{NUMBERS}'")
    return agent.id


def _agent() -> NewAgent:
    json_values: dict[str, Any] = {"llm_config": {"t": 0.1}, "embedding_config": {}, "tool_rules": [], "mcp_tools": [1]}
    return NewAgent(name="Ada", agent_type="chat", description=TEXT, system=TEXT, topic=TEXT, **json_values)


def _message(user_id: UUID, number: int) -> NewMessage:
    return NewMessage(
        role="tool", text=f"{TEXT} {number}", content=[{"type": "text", "text": TEXT}], name="n", user_id=user_id,
        group_id="g", model="m", tool_calls=[{}], tool_call_id="c", tool_returns=[1], step_id="s", otid="o",
        sender_id="x", token_count=7,
    )  # fmt: skip


def _tool() -> NewTool:
    texts: dict[str, Any] = {"description": TEXT, "source_type": "python", "source_code": "def f():\n\treturn '\\n'"}
    return NewTool(name="search", json_schema={"type": "object"}, tags=["网", "a"], **texts)


def _memory(agent_id: UUID, user_id: UUID) -> NewMemory:
    last = datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    content = "她喜欢黑咖啡 coffee"
    return NewMemory(agent_id=agent_id, user_id=user_id, content=content, importance=0.1, score=1e-300, expires_at=last)


async def _delete_some(scope: Scope) -> None:
    user = await users.create(scope, NewUser(name="gone", status="inactive"))
    agent = await agents.create(scope, NewAgent(name="gone"))
    block = await blocks.create(scope, NewBlock(label="gone"))
    tool = await tools.create(scope, NewTool(name="search 2"))
    memory = await memories.create(scope, NewMemory(content="gone", agent_id=agent.id, importance=5e-324, score=-0.0))
    await memories.delete(scope, memory.id)
    await users.delete(scope, user.id)
    await agents.delete(scope, agent.id)
    await blocks.delete(scope, block.id)
    await tools.delete(scope, tool.id)
