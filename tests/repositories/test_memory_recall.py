from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from agentmem_store import errors
from agentmem_store.database import Database
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.memories import MemoryChanges, NewMemory
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import agents, memories, organizations, users
from agentmem_store.scope import Root, Scope
from tests.repositories.waiting import until_one_waits

PAST = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="planner"))


async def found(scope: Scope, query: str, **filters: object) -> list[str]:
    return [hit.memory.content for hit in await memories.search(scope, query, **filters)]  # type: ignore[arg-type]


async def test_search_finds_any_term_best_first(scope: Scope) -> None:
    texts = ["likes black coffee", "coffee, and more coffee, black as coffee", "drinks tea", "a black cat"]
    await memories.create_many(scope, [NewMemory(content=text) for text in texts])

    hits = await memories.search(scope, "black COFFEES")

    assert {hit.memory.content for hit in hits} == {texts[0], texts[1], texts[3]}
    assert hits[-1].memory.content == texts[3]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.parts == {"text": hit.score} for hit in hits)
    assert hits[0].memory == await memories.get(scope, hits[0].memory.id)
    assert len(await memories.search(scope, "black coffee", limit=2)) == 2


@pytest.mark.parametrize("query", ["", "   ", "the and of", "?!", "& | ! <-> :*", "'; DROP TABLE"])
async def test_search_for_nothing_finds_nothing(scope: Scope, query: str) -> None:
    await memories.create(scope, NewMemory(content="the cat and the dog of the house"))
    assert await memories.search(scope, query) == []


async def test_search_reads_any_script_and_no_operators(root: Root) -> None:
    organization = await organizations.create(root, NewOrganization(name="o", language="russian"))
    scope = root.tenant(organization.id)
    texts = ["她喜欢黑咖啡", "Новые дома в городе", r"C:\temp and O'Brien", "日本語。テスト"]
    await memories.create_many(scope, [NewMemory(content=text) for text in texts])
    assert await found(scope, "咖啡") == [texts[0]]
    assert await found(scope, "ДОМ") == [texts[1]]
    assert await found(scope, r"o'brien \temp ' \\") == [texts[2]]
    assert await found(scope, "テスト") == [texts[3]]


async def test_search_keeps_to_its_filters(scope: Scope, other: Scope, agent: Agent) -> None:
    user = await users.create(scope, NewUser(name="Mei"))
    await memories.create(other, NewMemory(content="coffee there"))
    kinds: dict[str, dict[str, Any]] = {
        "coffee a": {},
        "coffee b": {"agent_id": agent.id},
        "coffee c": {"user_id": user.id, "memory_type": "core"},
        "coffee d": {"agent_id": agent.id, "user_id": user.id, "scope": "global", "level": "strategic"},
        "coffee e": {"expires_at": PAST},
    }
    for content, fields in kinds.items():
        await memories.create(scope, NewMemory.model_validate({"content": content, **fields}))

    assert sorted(await found(scope, "coffee")) == ["coffee a", "coffee b", "coffee c", "coffee d"]
    assert sorted(await found(scope, "coffee", agent_id=agent.id)) == ["coffee b", "coffee d"]
    assert sorted(await found(scope, "coffee", user_id=user.id)) == ["coffee c", "coffee d"]
    assert await found(scope, "coffee", user_id=user.id, agent_id=agent.id) == ["coffee d"]
    assert await found(scope, "coffee", memory_type="core") == ["coffee c"]
    assert await found(scope, "coffee", memory_scope="global", level="strategic") == ["coffee d"]
    assert await found(scope, "coffee", level="other") == []


async def test_search_follows_a_changed_content(scope: Scope) -> None:
    row = await memories.create(scope, NewMemory(content="coffee"))
    await memories.update(scope, row.id, MemoryChanges(content="tea"))
    assert await found(scope, "coffee") == []
    assert await found(scope, "tea") == ["tea"]


async def test_most_important_come_first_and_ties_go_to_the_newest(scope: Scope, agent: Agent) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    a, b = sorted((uuid4(), uuid4()))
    new = [
        NewMemory(content="d", agent_id=agent.id, importance=0.5, created_at=at, id=a),
        NewMemory(content="c", agent_id=agent.id, importance=0.5, created_at=at, id=b),
        NewMemory(content="b", agent_id=agent.id, importance=0.5, created_at=at + timedelta(microseconds=1)),
        NewMemory(content="a", agent_id=agent.id, importance=0.6, created_at=at - timedelta(days=1)),
        NewMemory(content="no agent", importance=1),
        NewMemory(content="expired", agent_id=agent.id, importance=1, expires_at=PAST),
    ]
    await memories.create_many(scope, new)
    assert [row.content for row in await memories.most_important(scope, agent.id)] == list("abcd")
    assert [row.content for row in await memories.most_important(scope, agent.id, limit=2)] == list("ab")

    assert await memories.trim(scope, agent.id, 3) == 1
    assert [row.content for row in await memories.most_important(scope, agent.id)] == list("abc")
    assert await memories.trim(scope, agent.id, 3) == 0
    assert await memories.trim(scope, agent.id, 2**63 - 1) == 0
    assert await memories.trim(scope, agent.id, 0) == 3
    assert await memories.most_important(scope, agent.id) == []
    assert [row.content for row in (await memories.list(scope)).items] == ["no agent"]
    assert await memories.restore_many(scope, [item.id for item in new]) == 4


async def test_trims_of_one_agent_at_the_same_time_keep_what_was_asked(tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent())
    rows = [NewMemory(content=str(i), agent_id=agent.id, importance=i / 200) for i in range(200)]
    await memories.create_many(tenant, rows)
    trimmed = await asyncio.gather(*(memories.trim(tenant, agent.id, 50) for _ in range(8)))
    assert sum(trimmed) == 150
    kept = await memories.most_important(tenant, agent.id, limit=1000)
    assert [int(row.content) for row in kept] == list(range(199, 149, -1))


async def test_touch_counts_each_memory_once_and_changes_nothing_else(scope: Scope, agent: Agent) -> None:
    rows = await memories.create_many(scope, [NewMemory(content=text, agent_id=agent.id) for text in "abc"])
    ids = [row.id for row in rows]

    assert await memories.touch(scope, [ids[0], ids[1], ids[0], uuid4(), ids[0]]) == 2
    assert await memories.touch(scope, [ids[1]]) == 1
    assert await memories.touch(scope, []) == 0

    now = [await memories.get(scope, row_id) for row_id in ids]
    assert [row.access_count for row in now] == [1, 2, 0]
    assert [row.last_accessed is None for row in now] == [False, False, True]
    unchanged = {"access_count", "last_accessed"}
    assert [row.model_dump(exclude=unchanged) for row in now] == [row.model_dump(exclude=unchanged) for row in rows]


async def test_touch_is_a_heap_only_update(
    scope: Scope, agent: Agent, connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    rows = await memories.create_many(scope, [NewMemory(content=text, agent_id=agent.id) for text in "abc"])
    before = await _updates(connection)
    await memories.touch(scope, [row.id for row in rows])
    after = await _updates(connection)
    assert [after[0] - before[0], after[1] - before[1]] == [3, 3]
    await memories.update(scope, rows[0].id, MemoryChanges(importance=1))
    assert (await _updates(connection))[1] == after[1], "an indexed column is not updated in the heap alone"


async def _updates(connection: asyncpg.Connection[asyncpg.Record]) -> tuple[int, int]:
    """The updates of this transaction so far: all, and those that touched no index."""
    row = await connection.fetchrow("""
        SELECT pg_stat_get_xact_tuples_updated(c.oid), pg_stat_get_xact_tuples_hot_updated(c.oid)
        FROM pg_class AS c
        WHERE c.oid = 'agentmem.memories'::regclass
    """)
    assert row
    return row[0], row[1]


async def test_recently_accessed_is_the_last_touched_first(db: Database, tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent())
    rows = await memories.create_many(tenant, [NewMemory(content=text, agent_id=agent.id) for text in "abcd"])
    for place in (1, 3, 0):
        await memories.touch(tenant, [rows[place].id])
    recent = await memories.recently_accessed(tenant, agent.id)
    assert [row.content for row in recent] == ["a", "d", "b"]
    assert [row.content for row in await memories.recently_accessed(tenant, agent.id, limit=1)] == ["a"]


async def test_touches_that_overlap_lose_nothing_and_do_not_deadlock(tenant: Scope) -> None:
    rows = await memories.create_many(tenant, [NewMemory(content=str(i)) for i in range(50)])
    ids = [row.id for row in rows]
    await asyncio.gather(*(memories.touch(tenant, ids[:: 1 if i % 2 else -1]) for i in range(16)))
    assert [(await memories.get(tenant, row_id)).access_count for row_id in ids] == [16] * 50


async def test_create_or_get_returns_the_same_memory(scope: Scope, other: Scope, agent: Agent) -> None:
    user = await users.create(scope, NewUser(name="Mei"))
    plain = await memories.create(scope, NewMemory(content="a"))
    first, created = await memories.create_or_get(scope, NewMemory(content="a", metadata={"k": 1}))
    assert created
    assert first.id != plain.id, "what create stored is not looked at"
    assert await memories.create_or_get(scope, NewMemory(content="a", importance=1)) == (first, False)

    seen = {first.id}
    for whose in ({"agent_id": agent.id}, {"user_id": user.id}, {"agent_id": agent.id, "user_id": user.id}):
        new = NewMemory.model_validate({"content": "a", **whose})
        row, created = await memories.create_or_get(scope, new)
        assert created
        assert row.id not in seen
        assert await memories.create_or_get(scope, new) == (row, False), "sent again"
        seen.add(row.id)
    assert (await memories.create_or_get(other, NewMemory(content="a")))[1]


async def test_create_or_get_looks_only_at_what_is_visible(scope: Scope) -> None:
    first, _ = await memories.create_or_get(scope, NewMemory(content="a"))
    await memories.delete(scope, first.id)
    assert (await memories.create_or_get(scope, NewMemory(content="a")))[1]
    with pytest.raises(errors.Conflict) as caught:
        await memories.restore(scope, first.id)
    assert caught.value.constraint == "memories_dedup_key"


async def test_create_or_get_is_not_kept_off_by_an_expired_memory(scope: Scope) -> None:
    expired, _ = await memories.create_or_get(scope, NewMemory(content="a", expires_at=PAST))
    fresh, created = await memories.create_or_get(scope, NewMemory(content="a"))
    assert created
    assert fresh.id != expired.id
    assert await memories.create_or_get(scope, NewMemory(content="a")) == (fresh, False)
    assert [row.id for row in (await memories.list(scope)).items] == [fresh.id]


async def test_create_or_get_follows_a_changed_content(scope: Scope) -> None:
    row, _ = await memories.create_or_get(scope, NewMemory(content="a"))
    other, _ = await memories.create_or_get(scope, NewMemory(content="b"))
    changed = await memories.update(scope, row.id, MemoryChanges(content="c"))
    assert await memories.create_or_get(scope, NewMemory(content="c")) == (changed, False)
    assert (await memories.create_or_get(scope, NewMemory(content="a")))[1]
    with pytest.raises(errors.Conflict) as caught:
        await memories.update(scope, other.id, MemoryChanges(content="c"))
    assert caught.value.constraint == "memories_dedup_key"


async def test_create_or_get_names_what_is_missing_or_stored(scope: Scope, agent: Agent) -> None:
    stored = await memories.create(scope, NewMemory(content="a"))
    again = NewMemory(id=stored.id, content="a")
    assert await memories.create_or_get(scope, again) == (stored, False)
    with pytest.raises(errors.Conflict, match="stored with other content"):
        await memories.create_or_get(scope, NewMemory(id=stored.id, content="b"))
    await agents.delete(scope, agent.id)
    with pytest.raises(errors.NotFound, match="no such agent"):
        await memories.create_or_get(scope, NewMemory(content="a", agent_id=agent.id))


@pytest.mark.parametrize("expired", [False, True])
async def test_sixteen_at_once_create_one(tenant: Scope, *, expired: bool) -> None:
    if expired:
        await memories.create_or_get(tenant, NewMemory(content="a", expires_at=PAST))
    results = await asyncio.gather(*(memories.create_or_get(tenant, NewMemory(content="a")) for _ in range(16)))
    assert sum(created for _, created in results) == 1
    assert len({row.id for row, _ in results}) == 1
    assert await memories.count(tenant) == 1


@pytest.mark.own_sessions
async def test_create_or_get_waits_for_a_copy_and_takes_it(db: Database, tenant: Scope) -> None:
    async with tenant.transaction() as tx:
        first, _ = await memories.create_or_get(tx, NewMemory(content="a"))
        second = asyncio.create_task(memories.create_or_get(tenant, NewMemory(content="a")))
        await until_one_waits(db)
    assert await second == (first, False)


@pytest.mark.own_sessions
async def test_create_or_get_stores_what_a_copy_gave_up(db: Database, tenant: Scope) -> None:
    with pytest.raises(RuntimeError):
        async with tenant.transaction() as tx:
            await memories.create_or_get(tx, NewMemory(content="a"))
            second = asyncio.create_task(memories.create_or_get(tenant, NewMemory(content="a")))
            await until_one_waits(db)
            raise RuntimeError
    assert (await second)[1]
