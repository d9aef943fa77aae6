"""Tools and blocks linked to agents: what both do alike is tested on both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.blocks import Block, BlockChanges, NewBlock
from agentmem_store.models.tools import NewTool
from agentmem_store.models.users import NewUser
from agentmem_store.query import Query
from agentmem_store.repositories import agents, blocks, organizations, tools, users
from agentmem_store.repositories.changing import Edit
from agentmem_store.statements import block_links, tool_links
from tests.repositories.plans import generic_plan
from tests.repositories.waiting import until_one_waits

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.database import Database
    from agentmem_store.scope import Root, Scope

LABELS = Query(
    "tests.labels",
    str,
    "SELECT l.block_label FROM agentmem.blocks_agents AS l WHERE l.organization_id = $1 AND l.agent_id = $2",
)


class Kind:
    """One of the two tables under the same names."""

    def __init__(self, entity: str, module: Any) -> None:
        self.entity, self.module = entity, module

    async def make(self, scope: Scope, name: str) -> Any:
        new: Any = NewTool(name=name) if self.entity == "tool" else NewBlock(label=name)
        return await self.module.create(scope, new)


@pytest.fixture(params=["tool", "block"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param, tools if request.param == "tool" else blocks)


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="planner"))


async def labels(scope: Scope, agent_id: UUID) -> list[str]:
    """The labels as they stand on the links, sorted."""
    return sorted(await scope.fetch_all(LABELS, agent_id))


async def test_attach_and_detach_say_whether_they_did_something(tenant: Scope, kind: Kind) -> None:
    agent, row = await agents.create(tenant, NewAgent()), await kind.make(tenant, "one")
    assert await kind.module.attach(tenant, row.id, agent.id) is True
    assert await kind.module.attach(tenant, row.id, agent.id) is False
    assert await kind.module.by_agent(tenant, agent.id) == [row], "neither version nor updated_at moved"
    assert await agents.get(tenant, agent.id) == agent
    assert await kind.module.agents(tenant, row.id) == [agent.id]

    assert await kind.module.detach(tenant, row.id, agent.id) is True
    assert await kind.module.detach(tenant, row.id, agent.id) is False
    assert await kind.module.by_agent(tenant, agent.id) == await kind.module.agents(tenant, row.id) == []
    assert await kind.module.get(tenant, row.id) == row


async def test_attach_many_links_all_or_none(scope: Scope, agent: Agent, kind: Kind) -> None:
    c, a, b = [await kind.make(scope, name) for name in "cab"]
    await kind.module.attach(scope, a.id, agent.id)
    with pytest.raises(errors.NotFound, match=f"item 1: no such {kind.entity}") as caught:
        await kind.module.attach_many(scope, [c.id, uuid4()], agent.id)
    assert caught.value.entity == kind.entity
    assert await kind.module.by_agent(scope, agent.id) == [a]

    assert await kind.module.attach_many(scope, [c.id, a.id, b.id, c.id], agent.id) == 2
    assert await kind.module.by_agent(scope, agent.id) == [a, b, c]
    assert await kind.module.attach_many(scope, [], agent.id) == 0


async def test_what_is_not_visible_cannot_be_attached(scope: Scope, other: Scope, agent: Agent, kind: Kind) -> None:
    row, gone = await kind.make(scope, "one"), await kind.make(scope, "two")
    stray = await agents.create(scope, NewAgent())
    await kind.module.delete(scope, gone.id)
    await agents.delete(scope, stray.id)
    for asked, row_id, agent_id, missing in (
        (scope, row.id, uuid4(), "agent"),
        (scope, row.id, stray.id, "agent"),
        (scope, uuid4(), agent.id, kind.entity),
        (scope, gone.id, agent.id, kind.entity),
        (other, row.id, agent.id, kind.entity),
        (other, (await kind.make(other, "theirs")).id, agent.id, "agent"),
    ):
        with pytest.raises(errors.NotFound) as caught:
            await kind.module.attach(asked, row_id, agent_id)
        assert caught.value.entity == missing
    assert await kind.module.by_agent(scope, agent.id) == []


async def test_another_tenant_sees_no_link_and_takes_none(scope: Scope, other: Scope, agent: Agent, kind: Kind) -> None:
    row = await kind.make(scope, "one")
    await kind.module.attach(scope, row.id, agent.id)
    assert await kind.module.by_agent(other, agent.id) == await kind.module.agents(other, row.id) == []
    assert await kind.module.detach(other, row.id, agent.id) is False
    assert await kind.module.by_agent(scope, agent.id) == [row]


async def test_what_is_deleted_keeps_its_links_and_does_not_show(scope: Scope, agent: Agent, kind: Kind) -> None:
    row = await kind.make(scope, "one")
    await kind.module.attach(scope, row.id, agent.id)
    await kind.module.delete(scope, row.id)
    assert await kind.module.by_agent(scope, agent.id) == await kind.module.agents(scope, row.id) == []
    restored = await kind.module.restore(scope, row.id)
    assert await kind.module.by_agent(scope, agent.id) == [restored]

    await agents.delete(scope, agent.id)
    assert await kind.module.get(scope, row.id) == restored, "it is not the agent's"
    assert await kind.module.by_agent(scope, agent.id) == await kind.module.agents(scope, row.id) == []
    assert await kind.module.detach(scope, row.id, agent.id) is True

    await agents.restore(scope, agent.id)
    await kind.module.attach(scope, row.id, agent.id)
    await agents.hard_delete(scope, agent.id)
    assert await kind.module.agents(scope, row.id) == []
    assert await kind.module.get(scope, row.id) == restored


async def test_a_row_shared_by_agents_names_them_all(scope: Scope, kind: Kind) -> None:
    made = await agents.create_many(scope, [NewAgent() for _ in range(5)])
    row = await kind.make(scope, "shared")
    for agent in reversed(made):
        await kind.module.attach(scope, row.id, agent.id)
    assert await kind.module.agents(scope, row.id) == sorted(agent.id for agent in made)


async def test_a_deleted_organization_shows_no_links(root: Root, scope: Scope, agent: Agent, kind: Kind) -> None:
    row = await kind.make(scope, "one")
    await kind.module.attach(scope, row.id, agent.id)
    await organizations.delete(root, scope.organization_id)
    assert await kind.module.by_agent(scope, agent.id) == await kind.module.agents(scope, row.id) == []
    assert await kind.module.detach(scope, row.id, agent.id) is False
    with pytest.raises(errors.NotFound):
        await kind.module.attach(scope, row.id, agent.id)
    await organizations.restore(root, scope.organization_id)
    assert await kind.module.by_agent(scope, agent.id) == [row]


async def test_bad_arguments_are_refused_before_any_statement(scope: Scope, agent: Agent, kind: Kind) -> None:
    row = await kind.make(scope, "one")
    for refused in (
        kind.module.attach(scope, "no uuid", agent.id),
        kind.module.attach(scope, row.id, "no uuid"),
        kind.module.attach_many(scope, [row.id, None], agent.id),
        kind.module.detach(scope, row.id, "no uuid"),
        kind.module.by_agent(scope, "no uuid"),
        kind.module.agents(scope, "no uuid"),
    ):
        with pytest.raises(errors.ValidationError):
            await refused


async def test_attaching_at_once_links_once(tenant: Scope, kind: Kind) -> None:
    agent, row = await agents.create(tenant, NewAgent()), await kind.make(tenant, "one")
    done = await asyncio.gather(*(kind.module.attach(tenant, row.id, agent.id) for _ in range(8)))
    assert sorted(done) == [False] * 7 + [True]


async def test_blocks_of_an_agent_come_by_label_then_id(scope: Scope, agent: Agent) -> None:
    made = await blocks.create_many(scope, [NewBlock(label=label) for label in ("b", "a", "b", "a")])
    await blocks.attach_many(scope, [block.id for block in made], agent.id)
    assert await blocks.by_agent(scope, agent.id) == sorted(made, key=lambda block: (block.label, block.id))


async def test_a_block_of_a_deleted_user_does_not_show(scope: Scope, agent: Agent) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    block = await blocks.create(scope, NewBlock(label="human", user_id=user.id))
    await blocks.attach(scope, block.id, agent.id)
    await users.delete(scope, user.id)
    assert await blocks.by_agent(scope, agent.id) == []
    assert await blocks.agents(scope, block.id) == []
    with pytest.raises(errors.NotFound, match="block"):
        await blocks.attach(scope, block.id, agent.id)


async def test_relabel_while_attached_goes_to_the_links(scope: Scope, agent: Agent) -> None:
    a, b = await blocks.create_many(scope, [NewBlock(label="a"), NewBlock(label="b")])
    await blocks.attach_many(scope, [a.id, b.id], agent.id)
    assert await labels(scope, agent.id) == ["a", "b"]
    await blocks.update(scope, a.id, BlockChanges(label="c"), expected_version=1)
    assert await labels(scope, agent.id) == ["b", "c"]
    with pytest.raises(errors.Conflict):
        await blocks.update(scope, a.id, BlockChanges(label="d"), expected_version=1)
    await blocks.update_many(scope, [Edit(b.id, BlockChanges(label="x")), Edit(a.id, BlockChanges(value="v"))])
    assert await labels(scope, agent.id) == ["c", "x"]
    assert [block.label for block in await blocks.by_agent(scope, agent.id)] == ["c", "x"]


async def made_and_linked(tenant: Scope) -> tuple[Agent, Block]:
    return await agents.create(tenant, NewAgent()), await blocks.create(tenant, NewBlock(label="old"))


@pytest.mark.own_sessions
async def test_a_link_made_while_a_label_changes_gets_the_new_one(db: Database, tenant: Scope) -> None:
    agent, block = await made_and_linked(tenant)
    async with tenant.transaction() as tx:
        await blocks.update(tx, block.id, BlockChanges(label="new"))
        attaching = asyncio.create_task(blocks.attach(tenant, block.id, agent.id))
        await until_one_waits(db)
    assert await attaching
    assert await labels(tenant, agent.id) == ["new"]


@pytest.mark.own_sessions
async def test_a_label_changed_while_a_link_is_made_reaches_it(db: Database, tenant: Scope) -> None:
    agent, block = await made_and_linked(tenant)
    async with tenant.transaction() as tx:
        await blocks.attach(tx, block.id, agent.id)
        changing = asyncio.create_task(blocks.update(tenant, block.id, BlockChanges(label="new")))
        await until_one_waits(db)
    await changing
    assert await labels(tenant, agent.id) == ["new"]


@pytest.mark.own_sessions
async def test_what_is_deleted_while_it_is_attached_is_not_found(db: Database, tenant: Scope, kind: Kind) -> None:
    agent, row = await agents.create(tenant, NewAgent()), await kind.make(tenant, "one")
    async with tenant.transaction() as tx:
        await kind.module.delete(tx, row.id)
        attaching = asyncio.create_task(kind.module.attach(tenant, row.id, agent.id))
        await until_one_waits(db)
    with pytest.raises(errors.NotFound, match=kind.entity):
        await attaching


@pytest.mark.own_sessions
async def test_links_are_found_through_their_indexes(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("""
            INSERT INTO agentmem.organizations (id, name)
            SELECT md5('o' || g)::uuid, 'o' FROM generate_series(1, 3) AS g;
            INSERT INTO agentmem.agents (organization_id, id)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('a' || g)::uuid FROM generate_series(1, 3000) AS g;
            INSERT INTO agentmem.tools (organization_id, id, name)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('t' || g)::uuid, 'n' || g FROM generate_series(1, 3000) AS g;
            INSERT INTO agentmem.blocks (organization_id, id, label)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('b' || g)::uuid, 'l' FROM generate_series(1, 3000) AS g;
            INSERT INTO agentmem.tools_agents (organization_id, agent_id, tool_id)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('a' || g)::uuid, md5('t' || g)::uuid
            FROM generate_series(1, 3000) AS g;
            INSERT INTO agentmem.blocks_agents (organization_id, agent_id, block_id, block_label)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('a' || g)::uuid, md5('b' || g)::uuid, 'l'
            FROM generate_series(1, 3000) AS g;
            ANALYZE;
        """)
        for query, indexes in (
            (tool_links.BY_AGENT, ["tools_agents_pkey", "tools_pkey"]),
            (tool_links.AGENTS, ["tools_agents_by_tool", "agents_pkey"]),
            (block_links.BY_AGENT, ["blocks_agents_pkey", "blocks_pkey"]),
            (block_links.AGENTS, ["blocks_agents_by_block", "agents_pkey"]),
        ):
            plan = await generic_plan(connection, query)
            assert all(f"using {index}" in plan or f"Bitmap Index Scan on {index}" in plan for index in indexes), plan
            assert "Hash" not in plan, plan
