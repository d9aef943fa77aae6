from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.memories import Memory, MemoryChanges, NewMemory
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.users import NewUser, User
from agentmem_store.repositories import agents, memories, organizations, users
from agentmem_store.repositories.changing import Edit
from agentmem_store.scope import Root, Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

PAST = datetime.now(UTC) - timedelta(seconds=1)
FUTURE = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="planner"))


@pytest.fixture
async def user(scope: Scope) -> User:
    return await users.create(scope, NewUser(name="Mei"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def contents(scope: Scope, **filters: Any) -> list[str]:
    return [row.content for row in (await memories.list(scope, **filters)).items]


async def test_memory_repository(scope: Scope, agent: Agent, user: User) -> None:
    new = NewMemory(
        agent_id=agent.id,
        user_id=user.id,
        content="Trinkt Kaffee schwarz, 黑咖啡",
        memory_type="episodic",
        scope="user",
        level="long_term",
        importance=0.7,
        score=-1.5e-300,
        expires_at=FUTURE,
        metadata={"turn": 3, "deep": [1, None, {"ü": 1e23}]},
        created_at=datetime(2020, 2, 29, 12, tzinfo=UTC),
    )
    created = await memories.create(scope, new)

    given = set(NewMemory.model_fields)
    assert created.model_dump(include=given)["metadata"]["deep"][2] == {"ü": 10**23}
    assert created.model_dump(include=given - {"metadata"}) == new.model_dump(exclude={"metadata"})
    assert (created.hash, created.version, created.access_count) == (sha256(new.content), 1, 0)
    assert (created.language, created.last_accessed) == ("english", None)
    assert await memories.get(scope, created.id) == created

    changes = MemoryChanges(content="tea", score=None, expires_at=None, importance=1, metadata={"a": 1})
    changed = await memories.update(scope, created.id, changes, expected_version=1)
    assert (changed.content, changed.hash, changed.score, changed.expires_at) == ("tea", sha256("tea"), None, None)
    assert (changed.importance, changed.metadata, changed.version) == (1.0, {"a": 1}, 2)
    assert (changed.memory_type, changed.scope, changed.level) == ("episodic", "user", "long_term")

    assert (await memories.delete(scope, created.id)).is_deleted
    assert await memories.find(scope, created.id) is None
    restored = await memories.restore(scope, created.id)
    assert (restored.content, restored.version, restored.is_deleted) == ("tea", 4, False)
    await memories.hard_delete(scope, created.id)
    with pytest.raises(errors.NotFound):
        await memories.get(scope, created.id)


async def test_the_language_is_the_organizations(root: Root) -> None:
    organization = await organizations.create(root, NewOrganization(name="o", language="german"))
    row = await memories.create(root.tenant(organization.id), NewMemory(content="Häuser"))
    assert row.language == "german"


async def test_who_acts_is_kept(root: Root, scope: Scope) -> None:
    acting = root.tenant(scope.organization_id, actor_id=uuid4())
    row = await memories.create(acting, NewMemory(content="a"))
    assert row.created_by_id == row.last_updated_by_id == acting.actor_id
    assert (await memories.delete(acting, row.id)).deleted_by_id == acting.actor_id


async def test_sending_again_returns_the_stored_row(scope: Scope, agent: Agent) -> None:
    new = NewMemory(agent_id=agent.id, content="a", metadata={"n": 1.0})
    row = await memories.create(scope, new)
    assert await memories.create(scope, new) == row
    assert await memories.create(scope, new.model_copy(update={"metadata": {"n": 1}})) == row

    for other_content in ({"content": "b"}, {"importance": 0.5}, {"expires_at": FUTURE}, {"agent_id": None}):
        with pytest.raises(errors.Conflict, match="stored with other content") as caught:
            await memories.create(scope, new.model_copy(update=other_content))
        assert caught.value.current == row

    await memories.touch(scope, [row.id])
    assert (await memories.create(scope, new)).access_count == 1
    changed = await memories.update(scope, row.id, MemoryChanges(content="b"))
    assert await memories.create(scope, new) == changed
    await agents.delete(scope, agent.id)
    assert await memories.create(scope, new) == changed


async def test_a_missing_parent_is_named(scope: Scope, other: Scope, agent: Agent, user: User) -> None:
    with pytest.raises(errors.NotFound, match="no such agent"):
        await memories.create(scope, NewMemory(content="a", agent_id=uuid4()))
    with pytest.raises(errors.NotFound, match="no such agent"):
        await memories.create(other, NewMemory(content="a", agent_id=agent.id))
    await users.delete(scope, user.id)
    batch = [NewMemory(content="a", agent_id=agent.id), NewMemory(content="b", agent_id=agent.id, user_id=user.id)]
    for new in (batch, batch[::-1]):
        with pytest.raises(errors.NotFound, match=f"item {new.index(batch[1])}: no such user") as caught:
            await memories.create_many(scope, new)
        assert caught.value.entity == "user"
    assert await memories.count(scope) == 0


async def test_nothing_is_created_in_a_deleted_organization(root: Root, scope: Scope) -> None:
    await organizations.delete(root, scope.organization_id)
    for create in (
        lambda: memories.create(scope, NewMemory(content="a")),
        lambda: memories.create_or_get(scope, NewMemory(content="a")),
        lambda: memories.create_many(scope, [NewMemory(content="a")] * 1, mode="upsert"),
    ):
        with pytest.raises(errors.NotFound, match="no such organization"):
            await create()


@pytest.mark.parametrize("hide", ["agent", "user", "organization"])
async def test_memories_are_hidden_with_what_they_belong_to(
    root: Root, scope: Scope, agent: Agent, user: User, hide: str
) -> None:
    new = NewMemory(content="coffee", agent_id=agent.id, user_id=user.id)
    row = await memories.create(scope, new)
    await memories.touch(scope, [row.id])
    subject: dict[str, tuple[Any, Any, UUID]] = {
        "agent": (agents, scope, agent.id),
        "user": (users, scope, user.id),
        "organization": (organizations, root, scope.organization_id),
    }
    table, where, subject_id = subject[hide]

    await table.delete(where, subject_id)
    await assert_hidden(scope, row)
    with pytest.raises(errors.NotFound):
        await memories.restore(scope, row.id)

    await table.restore(where, subject_id)
    assert await memories.get(scope, row.id) == row.model_copy(
        update={"access_count": 1, "last_accessed": (await memories.get(scope, row.id)).last_accessed}
    )


async def assert_hidden(scope: Scope, row: Memory) -> None:
    """No function shows or changes the row."""
    assert row.agent_id
    assert await memories.find(scope, row.id) is None
    assert await contents(scope) == await contents(scope, agent_id=row.agent_id) == []
    assert await contents(scope, user_id=row.user_id) == []
    assert await memories.count(scope) == await memories.count(scope, agent_id=row.agent_id) == 0
    assert await memories.count(scope, user_id=row.user_id) == 0
    assert await memories.search(scope, "coffee") == await memories.search(scope, "coffee", agent_id=row.agent_id) == []
    assert await memories.most_important(scope, row.agent_id) == []
    assert await memories.recently_accessed(scope, row.agent_id) == []
    assert await memories.touch(scope, [row.id]) == 0
    assert await memories.trim(scope, row.agent_id, 0) == 0
    assert await memories.delete_many(scope, [row.id]) == await memories.restore_many(scope, [row.id]) == 0
    for change in (memories.get(scope, row.id), memories.delete(scope, row.id)):
        with pytest.raises(errors.NotFound):
            await change
    with pytest.raises(errors.NotFound):
        await memories.update(scope, row.id, MemoryChanges(content="b"))


async def test_expired_memories_are_invisible_at_once(scope: Scope, agent: Agent, user: User) -> None:
    new = NewMemory(content="coffee", agent_id=agent.id, user_id=user.id, expires_at=PAST)
    row = await memories.create(scope, new)
    await assert_hidden(scope, row)
    assert await memories.create(scope, new) == row
    with pytest.raises(errors.NotFound):
        await memories.restore(scope, row.id)
    assert await memories.hard_delete_many(scope, [row.id]) == 1


async def test_an_update_can_let_a_memory_expire_or_stay(scope: Scope) -> None:
    row = await memories.create(scope, NewMemory(content="a", expires_at=FUTURE))
    assert (await memories.update(scope, row.id, MemoryChanges(expires_at=None))).expires_at is None
    await memories.update(scope, row.id, MemoryChanges(expires_at=PAST))
    assert await memories.find(scope, row.id) is None


FOREIGN: dict[str, Callable[[Scope, Memory], Awaitable[Any]]] = {
    "get": lambda scope, row: memories.get(scope, row.id),
    "update": lambda scope, row: memories.update(scope, row.id, MemoryChanges(content="b")),
    "update_many": lambda scope, row: memories.update_many(scope, [Edit(row.id, MemoryChanges(content="b"))]),
    "delete": lambda scope, row: memories.delete(scope, row.id),
    "restore": lambda scope, row: memories.restore(scope, row.id),
    "hard_delete": lambda scope, row: memories.hard_delete(scope, row.id),
    "create": lambda scope, row: memories.create(scope, NewMemory(content="a", agent_id=row.agent_id)),
    "create_or_get": lambda scope, row: memories.create_or_get(scope, NewMemory(content="a", agent_id=row.agent_id)),
    "create_many": lambda scope, row: memories.create_many(scope, [NewMemory(content="a", user_id=row.user_id)]),
}
EMPTY: dict[str, Callable[[Scope, Memory], Awaitable[Any]]] = {
    "find": lambda scope, row: memories.find(scope, row.id),
    "list": lambda scope, row: contents(scope, agent_id=row.agent_id),
    "list_of_user": lambda scope, row: contents(scope, user_id=row.user_id),
    "list_of_all": lambda scope, _: contents(scope),
    "count": lambda scope, row: memories.count(scope, agent_id=row.agent_id),
    "count_of_user": lambda scope, row: memories.count(scope, user_id=row.user_id),
    "count_of_all": lambda scope, _: memories.count(scope),
    "search": lambda scope, _: memories.search(scope, "coffee"),
    "most_important": lambda scope, row: memories.most_important(scope, row.agent_id or row.id),
    "recently_accessed": lambda scope, row: memories.recently_accessed(scope, row.agent_id or row.id),
    "touch": lambda scope, row: memories.touch(scope, [row.id]),
    "trim": lambda scope, row: memories.trim(scope, row.agent_id or row.id, 0),
    "delete_many": lambda scope, row: memories.delete_many(scope, [row.id]),
    "restore_many": lambda scope, row: memories.restore_many(scope, [row.id]),
    "hard_delete_many": lambda scope, row: memories.hard_delete_many(scope, [row.id]),
}


@pytest.mark.parametrize("name", [*FOREIGN, *EMPTY])
async def test_another_tenant_sees_and_changes_nothing(
    scope: Scope, other: Scope, agent: Agent, user: User, name: str
) -> None:
    row = await memories.create(scope, NewMemory(content="coffee", agent_id=agent.id, user_id=user.id))
    if name in FOREIGN:
        with pytest.raises(errors.NotFound):
            await FOREIGN[name](other, row)
    else:
        assert not await EMPTY[name](other, row)
    assert await memories.get(scope, row.id) == row


async def test_the_same_id_may_live_in_two_organizations(scope: Scope, other: Scope) -> None:
    row = await memories.create(scope, NewMemory(content="ours"))
    await memories.create_many(other, [NewMemory(id=row.id, content="theirs")], mode="upsert")
    assert (await memories.get(scope, row.id)).content == "ours"


async def test_update_names_conflict_and_missing(scope: Scope) -> None:
    rows = await memories.create_many(scope, [NewMemory(content=text) for text in "ab"])
    with pytest.raises(errors.Conflict) as caught:
        await memories.update(scope, rows[0].id, MemoryChanges(content="c"), expected_version=2)
    assert caught.value.current == rows[0]
    with pytest.raises(errors.NotFound, match="item 1"):
        await memories.update_many(scope, [Edit(row, MemoryChanges(content="c")) for row in (rows[0].id, uuid4())])
    assert await memories.get(scope, rows[0].id) == rows[0]


async def test_lists_go_by_agent_user_and_kind(scope: Scope, agent: Agent, user: User) -> None:
    both, ours = {"agent_id": agent.id, "user_id": user.id}, {"agent_id": agent.id}
    kinds: dict[str, dict[str, Any]] = {
        "a": {},
        "b": ours,
        "c": both | {"memory_type": "core"},
        "d": {"user_id": user.id, "scope": "global"},
        "e": ours | {"level": "strategic"},
    }
    for content, fields in kinds.items():
        await memories.create(scope, NewMemory.model_validate({"content": content, **fields}))

    assert await contents(scope) == list("edcba")
    assert await contents(scope, agent_id=agent.id) == list("ecb")
    assert await contents(scope, user_id=user.id) == list("dc")
    assert await contents(scope, **both) == ["c"]
    assert await contents(scope, memory_type="core") == ["c"]
    assert await contents(scope, memory_scope="global") == await contents(scope, memory_scope="global", user_id=user.id)
    assert await contents(scope, agent_id=agent.id, level="strategic") == ["e"]
    assert await contents(scope, agent_id=agent.id, memory_scope="global") == []
    assert await memories.count(scope) == 5
    assert await memories.count(scope, agent_id=agent.id) == 3
    assert await memories.count(scope, user_id=user.id) == 2
    assert await memories.count(scope, **both) == 1


@pytest.mark.parametrize("whose", ["all", "agent", "user"])
async def test_pages_have_every_memory_once(scope: Scope, agent: Agent, user: User, whose: str) -> None:
    same = datetime(2024, 1, 1, tzinfo=UTC)
    new = [
        NewMemory(content=str(i), agent_id=agent.id, user_id=user.id, created_at=same if i % 2 else None)
        for i in range(23)
    ]
    await memories.create_many(scope, new)
    filters: dict[str, Any] = {"all": {}, "agent": {"agent_id": agent.id}, "user": {"user_id": user.id}}[whose]
    seen: list[Memory] = []
    cursor = None
    while True:
        page = await memories.list(scope, limit=5, cursor=cursor, **filters)
        seen += page.items
        cursor = page.next
        if cursor is None:
            break
    assert {row.id for row in seen} == {item.id for item in new}
    assert seen == sorted(seen, key=lambda row: (row.created_at, row.id.int), reverse=True)


async def test_a_cursor_belongs_to_its_filters(scope: Scope, agent: Agent) -> None:
    await memories.create_many(scope, [NewMemory(content=text, agent_id=agent.id) for text in "ab"])
    page = await memories.list(scope, agent_id=agent.id, limit=1)
    with pytest.raises(errors.ValidationError, match="cursor"):
        await memories.list(scope, limit=1, cursor=page.next)
    with pytest.raises(errors.ValidationError, match="cursor"):
        await memories.list(scope, agent_id=agent.id, level="x", limit=1, cursor=page.next)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("importance", math.nan),
        ("importance", 1.01),
        ("importance", -0.1),
        ("importance", "high"),
        ("score", math.inf),
        ("content", ""),
        ("content", "a\x00b"),
        ("content", "a\ud800b"),
        ("memory_type", ""),
        ("scope", "x" * 51),
        ("level", None),
        ("expires_at", datetime(2024, 1, 1)),  # noqa: DTZ001 - that is the point
        ("created_at", "yesterday"),
        ("metadata", {"a": [math.nan]}),
        ("agent_id", "not an id"),
    ],
)
def test_bad_input_is_refused_before_any_io(field: str, value: Any) -> None:
    good = {"content": "a"}
    for kind in (NewMemory, MemoryChanges):
        if field in kind.model_fields:
            with pytest.raises(errors.ValidationError) as caught:
                kind.model_validate({**good, field: value})
            assert caught.value.problems[0].field.startswith(field)


async def test_bad_arguments_are_refused(scope: Scope) -> None:
    some = uuid4()
    wrong: list[Awaitable[Any]] = [
        memories.get(scope, "x"),  # type: ignore[arg-type]
        memories.list(scope, limit=0),
        memories.list(scope, memory_type="a\x00"),
        memories.list(scope, metadata={"a": 1}),  # type: ignore[arg-type]
        memories.search(scope, "a", limit=-1),
        memories.search(scope, "a" * 10_001),
        memories.search(scope, "a\x00"),
        memories.most_important(scope, some, limit=0),
        memories.recently_accessed(scope, some, limit=1001),
        memories.touch(scope, ["x"]),  # type: ignore[list-item]
        memories.trim(scope, some, -1),
        memories.create_or_get(scope, "x"),  # type: ignore[arg-type]
        memories.update(scope, some, MemoryChanges(), expected_version=0),
    ]
    for call in wrong:
        with pytest.raises(errors.ValidationError):
            await call
