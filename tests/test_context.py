from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agentmem_store import context, errors
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.blocks import NewBlock
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.tools import NewTool
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import agents, blocks, memories, messages, tools, users

if TYPE_CHECKING:
    from agentmem_store.scope import Scope


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    """An agent with two blocks, two tools, three messages and two memories."""
    agent = await agents.create(scope, NewAgent(name="planner", llm_config={"model": "x"}))
    for label in ("persona", "human"):
        block = await blocks.create(scope, NewBlock(label=label, value=f"the {label}"))
        await blocks.attach(scope, block.id, agent.id)
    for name in ("search", "book"):
        tool = await tools.create(scope, NewTool(name=name, tags=["a"], json_schema={"type": "object"}))
        await tools.attach(scope, tool.id, agent.id)
    said = [NewMessage(role="user", text=text, token_count=10, content=[{"x": [1.5, None]}]) for text in "abc"]
    await messages.append(scope, agent.id, said)
    contents = ["coffee is taken black", "tea is taken green"]
    await memories.create_many(scope, [NewMemory(agent_id=agent.id, content=content) for content in contents])
    return agent


async def test_everything_arrives_as_if_read_one_by_one(scope: Scope, agent: Agent) -> None:
    found = await context.assemble(scope, agent.id, token_budget=1000, query="coffee")
    assert found.agent == agent
    assert found.blocks == await blocks.by_agent(scope, agent.id)
    assert found.tools == await tools.by_agent(scope, agent.id)
    assert found.messages == await messages.recent(scope, agent.id)
    assert found.memories == await memories.search(scope, "coffee", agent_id=agent.id)
    assert [hit.memory.content for hit in found.memories] == ["coffee is taken black"]


@pytest.mark.parametrize(("budget", "fits"), [(0, ""), (9, ""), (10, "c"), (29, "bc"), (30, "abc")])
async def test_the_newest_messages_that_fit(scope: Scope, agent: Agent, budget: int, fits: str) -> None:
    found = await context.assemble(scope, agent.id, token_budget=budget)
    assert "".join(message.text or "" for message in found.messages) == fits
    assert found.memories == []


async def test_without_a_count_four_bytes_are_a_token_and_four_tokens_the_frame(scope: Scope) -> None:
    agent = await agents.create(scope, NewAgent())
    await messages.create(scope, agent.id, NewMessage(role="user", text="你好吗" * 4))
    for budget, fits in ((12, 0), (13, 1)):
        assert len((await context.assemble(scope, agent.id, token_budget=budget)).messages) == fits


async def test_it_stops_at_the_first_that_does_not_fit(scope: Scope) -> None:
    agent = await agents.create(scope, NewAgent())
    sizes = [1, 100, 1]
    said = [NewMessage(role="user", text=str(size), token_count=size) for size in sizes]
    await messages.append(scope, agent.id, said)
    found = await context.assemble(scope, agent.id, token_budget=50)
    assert [message.text for message in found.messages] == ["1"]
    assert found.messages[0].seq == 3


async def test_one_user_sees_his_own_thread_and_what_belongs_to_all(scope: Scope, agent: Agent) -> None:
    anna, ben = await users.create_many(scope, [NewUser(name="Anna"), NewUser(name="Ben")])
    for user in (anna, ben):
        await messages.create(scope, agent.id, NewMessage(role="user", text=user.name, user_id=user.id, group_id="g"))
        await memories.create(scope, NewMemory(agent_id=agent.id, user_id=user.id, content=f"{user.name} likes coffee"))
    found = await context.assemble(scope, agent.id, token_budget=1000, user_id=anna.id, query="coffee")
    assert [message.text for message in found.messages] == ["Anna"]
    assert {hit.memory.user_id for hit in found.memories} == {anna.id, None}
    both = await context.assemble(scope, agent.id, token_budget=1000, group_id="g")
    assert [message.text for message in both.messages] == ["Anna", "Ben"]


async def test_details_are_the_agent_with_its_links(scope: Scope, agent: Agent) -> None:
    found = await agents.details(scope, agent.id)
    assert (found.agent, len(found.blocks), len(found.tools)) == (agent, 2, 2)


async def test_another_tenant_finds_nothing(scope: Scope, other: Scope, agent: Agent) -> None:
    for missing in (context.assemble(other, agent.id, token_budget=1), agents.details(other, agent.id)):
        with pytest.raises(errors.NotFound):
            await missing
    with pytest.raises(errors.NotFound):
        await context.assemble(scope, uuid4(), token_budget=1)


@pytest.mark.parametrize("wrong", [{"token_budget": -1}, {"token_budget": 1, "message_limit": 0}])
async def test_bad_arguments_are_named(scope: Scope, agent: Agent, wrong: dict[str, int]) -> None:
    with pytest.raises(errors.ValidationError, match=list(wrong)[-1]):
        await context.assemble(scope, agent.id, **wrong)  # type: ignore[arg-type]
