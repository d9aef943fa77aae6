"""One agent leaves as a file, with what it needs, and joins an organization elsewhere."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from agentmem_store import errors, transfer
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import NewBlock
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.tools import NewTool
from agentmem_store.models.users import NewUser, UserChanges
from agentmem_store.repositories import agents, blocks, memories, messages, organizations, tools, users
from agentmem_store.scope import Scope
from agentmem_store.transfer.tables import tables_of
from tests.transfer import rows_of


@pytest.fixture
async def target(elsewhere: Database, tenant: Scope) -> Scope:
    """The organization of the same id in the other database."""
    await organizations.create(elsewhere, NewOrganization(id=tenant.organization_id, name="target"))
    return elsewhere.tenant(tenant.organization_id)


@pytest.fixture
async def second_id(tenant: Scope, agent_id: UUID) -> UUID:
    """An agent that shares the first one's user, block and tool."""
    agent = await agents.create(tenant, NewAgent(name="second"))
    (block,), (tool,) = await blocks.by_agent(tenant, agent_id), await tools.by_agent(tenant, agent_id)
    await blocks.attach(tenant, block.id, agent.id)
    await tools.attach(tenant, tool.id, agent.id)
    await messages.append(tenant, agent.id, [NewMessage(role="user", text="苹果", user_id=block.user_id)])
    return agent.id


@pytest.fixture
async def files(tenant: Scope, agent_id: UUID, second_id: UUID, tmp_path: Path) -> tuple[Path, Path]:
    """A dump of each."""
    await transfer.dump(tenant, tmp_path / "first.jsonl", agent_id=agent_id)
    await transfer.dump(tenant, tmp_path / "second.jsonl", agent_id=second_id)
    return tmp_path / "first.jsonl", tmp_path / "second.jsonl"


async def seen(scope: Scope, agent_id: UUID) -> list[object]:
    (block,) = await blocks.by_agent(scope, agent_id)
    return [
        await agents.details(scope, agent_id),
        await messages.recent(scope, agent_id),
        await messages.search(scope, agent_id, "苹果"),
        (await blocks.history(scope, block.id)).items,
        await users.get(scope, block.user_id or uuid4()),
        (await memories.list(scope, agent_id=agent_id)).items,
    ]


async def test_an_agent_arrives_with_all_that_it_needs(
    tenant: Scope, agent_id: UUID, target: Scope, elsewhere: Database, tmp_path: Path
) -> None:
    await agents.create(tenant, NewAgent(name="another"))
    told: list[tuple[int, int]] = []
    dumped = await transfer.dump(
        tenant, tmp_path / "a.jsonl", agent_id=agent_id, on_progress=lambda *now: told.append(now)
    )
    assert told == [(sum(dumped.rows.values()),) * 2]
    loaded = await transfer.load(elsewhere, tmp_path / "a.jsonl")
    assert loaded == (tenant.organization_id, agent_id, dumped.rows, dict.fromkeys(dumped.rows, 0))
    assert await seen(target, agent_id) == await seen(tenant, agent_id)
    assert await agents.count(target) == 1
    assert (await messages.create(target, agent_id, NewMessage(role="user", text="x"))).seq == 4


async def test_nothing_that_belongs_to_others_goes_along(tenant: Scope, tmp_path: Path) -> None:
    one, other = await agents.create_many(tenant, [NewAgent(name="one"), NewAgent(name="other")])
    whose = {"said": "message", "kept": "memory", "about": "block", "stranger": "nobody"}
    made = {name: await users.create(tenant, NewUser(name=name)) for name in whose}
    for agent, user_id in ((one, made["said"].id), (other, made["stranger"].id)):
        await messages.append(tenant, agent.id, [NewMessage(role="user", text="x", user_id=user_id)])
    await memories.create(tenant, NewMemory(content="x", agent_id=one.id, user_id=made["kept"].id))
    await memories.create(tenant, NewMemory(content="x", user_id=made["said"].id))
    block = await blocks.create(tenant, NewBlock(label="x", user_id=made["about"].id))
    await blocks.attach(tenant, block.id, one.id)
    await tools.attach(tenant, (await tools.create(tenant, NewTool(name="x"))).id, other.id)

    rows = (await transfer.dump(tenant, tmp_path / "a.jsonl", agent_id=one.id)).rows
    assert [*rows] == [table.name for table in tables_of(one.id)]
    assert {row["name"] for row in rows_of(tmp_path / "a.jsonl", "users")} == {"said", "kept", "about"}
    assert {table: count for table, count in rows.items() if table != "users" and count} == {
        "agents": 1, "message_counters": 1, "messages": 1, "blocks": 1, "blocks_agents": 1, "memories": 1,
    }  # fmt: skip


async def test_what_agents_share_is_kept_where_it_is_the_same(
    files: tuple[Path, Path], tenant: Scope, second_id: UUID, target: Scope, elsewhere: Database
) -> None:
    await transfer.load(elsewhere, files[0])
    report = await transfer.load(elsewhere, files[1])
    assert {name: count for name, count in report.kept.items() if count} == {
        "users": 1, "blocks": 1, "block_values": 2, "tools": 1,
    }  # fmt: skip
    assert report.stored["agents"] == report.stored["messages"] == report.stored["blocks_agents"] == 1
    assert await seen(target, second_id) == await seen(tenant, second_id)


async def test_what_agents_share_and_is_other_there_is_a_conflict(
    files: tuple[Path, Path], second_id: UUID, target: Scope, elsewhere: Database
) -> None:
    await transfer.load(elsewhere, files[0])
    user = (await users.list(target)).items[0]
    await users.update(target, user.id, UserChanges(status="inactive"))
    with pytest.raises(errors.Conflict, match="users that are there already: 1 of 1, and not all"):
        await transfer.load(elsewhere, files[1])
    assert await agents.find(target, second_id) is None


async def test_an_agent_that_is_there_is_a_conflict(
    tenant: Scope, db: Database, agent_id: UUID, tmp_path: Path
) -> None:
    await transfer.dump(tenant, tmp_path / "a.jsonl", agent_id=agent_id)
    with pytest.raises(errors.Conflict, match="rows of agents that are there already: 1 of 1;"):
        await transfer.load(db, tmp_path / "a.jsonl")
    before = await seen(tenant, agent_id)
    await agents.hard_delete(tenant, agent_id)
    report = await transfer.load(db, tmp_path / "a.jsonl")
    assert report.kept["blocks"] == report.kept["users"] == report.kept["tools"] == 1
    assert await seen(tenant, agent_id) == before


async def test_a_taken_name_is_a_conflict(
    tenant: Scope, agent_id: UUID, target: Scope, elsewhere: Database, tmp_path: Path
) -> None:
    await transfer.dump(tenant, tmp_path / "a.jsonl", agent_id=agent_id)
    await tools.create(target, NewTool(name="search"))
    with pytest.raises(errors.Conflict, match=r"row of tools .* needs what another row has: tools_name_key"):
        await transfer.load(elsewhere, tmp_path / "a.jsonl")
    assert (await agents.list(target)).items == []


async def test_an_agent_needs_an_organization_that_lives(
    tenant: Scope, agent_id: UUID, elsewhere: Database, tmp_path: Path
) -> None:
    await transfer.dump(tenant, tmp_path / "a.jsonl", agent_id=agent_id)
    with pytest.raises(errors.NotFound, match="no such organization to take the agent"):
        await transfer.load(elsewhere, tmp_path / "a.jsonl")
    taker = await organizations.create(elsewhere, NewOrganization(name="taker"))
    report = await transfer.load(elsewhere, tmp_path / "a.jsonl", into=taker.id)
    assert report.organization_id == taker.id
    assert await seen(elsewhere.tenant(taker.id), agent_id) == await seen(tenant, agent_id)
    await organizations.delete(elsewhere, taker.id)
    with pytest.raises(errors.NotFound):
        await transfer.load(elsewhere, tmp_path / "a.jsonl", into=taker.id)


async def test_what_is_not_there_leaves_no_file(db: Database, tenant: Scope, agent_id: UUID, tmp_path: Path) -> None:
    """An agent of another tenant is not there either; a file that was there before stays."""
    stranger = await organizations.create(db, NewOrganization(name="stranger"))
    (tmp_path / "a.jsonl").write_text("before")
    for scope, agent in ((tenant, uuid4()), (db.tenant(stranger.id), agent_id), (db.tenant(uuid4()), None)):
        with pytest.raises(errors.NotFound):
            await transfer.dump(scope, tmp_path / "a.jsonl", agent_id=agent)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
