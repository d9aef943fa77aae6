from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import NewBlock
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.users import NewUser, User, UserChanges
from agentmem_store.repositories import agents, blocks, messages, organizations, users
from agentmem_store.repositories.changing import Edit
from agentmem_store.statements import users as statements
from tests.repositories.plans import generic_plan

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.scope import Root, Scope


@pytest.fixture
async def user(scope: Scope) -> User:
    return await users.create(scope, NewUser(name="Ada"))


def named(*names: str, **more: Any) -> list[NewUser]:
    return [NewUser(name=name, **more) for name in names]


async def test_user_crud(scope: Scope) -> None:
    new = NewUser(name="Žofie 李", status="inactive", timezone="Asia/Shanghai", metadata={"k": [1, None, {"ü": 2.5}]})
    created = await users.create(scope, new)
    assert created.model_dump(include=set(NewUser.model_fields)) == new.model_dump()
    assert (created.version, created.is_deleted) == (1, False)
    assert await users.get(scope, created.id) == await users.find(scope, created.id) == created

    changed = await users.update(scope, created.id, UserChanges(status="active", metadata={}), expected_version=1)
    assert (changed.name, changed.status, changed.metadata, changed.version) == (new.name, "active", {}, 2)

    assert (await users.delete(scope, created.id)).is_deleted
    assert await users.find(scope, created.id) is None
    with pytest.raises(errors.NotFound, match="user"):
        await users.get(scope, created.id)
    restored = await users.restore(scope, created.id)
    assert (restored.is_deleted, restored.deleted_at, restored.version) == (False, None, 4)
    assert await users.restore(scope, created.id) == restored

    await users.hard_delete(scope, created.id)
    with pytest.raises(errors.NotFound):
        await users.hard_delete(scope, created.id)
    with pytest.raises(errors.NotFound):
        await users.restore(scope, created.id)


async def test_user_repository(tenant: Scope) -> None:
    """By organization, status and name, in pages; counted alike."""
    made = [await users.create(tenant, new) for new in named("a", "b", "a", "c", "a")]
    idle = [await users.create(tenant, new) for new in named("a", "d", status="inactive")]
    newest = [*reversed(idle), *reversed(made)]

    first = await users.list(tenant, limit=4)
    assert first.items == newest[:4]
    rest = await users.list(tenant, limit=4, cursor=first.next)
    assert (rest.items, rest.next) == (newest[4:], None)
    assert (await users.list(tenant, status="inactive")).items == [*reversed(idle)]
    assert (await users.list(tenant, name="a")).items == [idle[0], made[4], made[2], made[0]]
    assert (await users.list(tenant, name="a", status="active")).items == [made[4], made[2], made[0]]
    page = await users.list(tenant, status="active", limit=3)
    assert (await users.list(tenant, status="active", limit=3, cursor=page.next)).items == [made[1], made[0]]

    assert await users.count(tenant) == 7
    assert await users.count(tenant, status="inactive") == 2
    assert await users.count(tenant, name="a") == 4
    assert await users.count(tenant, name="a", status="inactive") == 1


async def test_a_cursor_is_good_only_for_its_own_list(scope: Scope, other: Scope) -> None:
    await users.create_many(scope, named("a", "a"))
    cursor = (await users.list(scope, limit=1)).next
    for foreign in (
        users.list(scope, name="a", cursor=cursor),
        users.list(scope, status="active", cursor=cursor),
        users.list(other, cursor=cursor),
        users.list(scope, cursor="nonsense"),
    ):
        with pytest.raises(errors.ValidationError, match="cursor"):
            await foreign


async def test_sending_the_same_again_returns_the_stored_row(scope: Scope) -> None:
    new = NewUser(name="Ada", metadata={"b": 1, "a": 2})
    stored = await users.create(scope, new)
    assert await users.create(scope, new) == stored
    with pytest.raises(errors.Conflict, match="other content") as caught:
        await users.create(scope, NewUser(id=new.id, name="Eve"))
    assert caught.value.current == stored

    changed = await users.update(scope, new.id, UserChanges(name="Grace"))
    assert await users.create(scope, new) == changed


async def test_create_many_is_atomic_and_in_input_order(scope: Scope) -> None:
    new = sorted(named("c", "a", "b"), key=lambda user: user.name)
    new = [new[2], new[0], new[1]]
    stored = await users.create_many(scope, new)
    assert [row.id for row in stored] == [user.id for user in new]
    assert await users.create_many(scope, [new[1], *named("d"), new[0]]) != stored
    assert await users.count(scope) == 4

    with pytest.raises(errors.Conflict, match="item 1"):
        await users.create_many(scope, [*named("e"), NewUser(id=new[0].id, name="other")])
    with pytest.raises(errors.ValidationError, match="item 1: id"):
        await users.create_many(scope, [new[0], new[0]])
    assert await users.count(scope) == 4
    assert await users.create_many(scope, []) == []


async def test_update_many_is_atomic_and_in_input_order(scope: Scope) -> None:
    a, b, c = await users.create_many(scope, named("a", "b", "c"))
    rename = [Edit(row.id, UserChanges(name=row.name * 2)) for row in (c, a, b)]
    assert [row.name for row in await users.update_many(scope, rename)] == ["cc", "aa", "bb"]

    for bad, raised in (
        (Edit(b.id, UserChanges(name="x"), expected_version=9), errors.Conflict),
        (Edit(uuid4(), UserChanges(name="x")), errors.NotFound),
    ):
        with pytest.raises(raised, match="item 1"):
            await users.update_many(scope, [Edit(a.id, UserChanges(name="x")), bad])
    assert (await users.get(scope, a.id)).name == "aa"


async def test_an_update_of_another_version_carries_the_current_row(scope: Scope, user: User) -> None:
    changed = await users.update(scope, user.id, UserChanges(name="Grace"))
    with pytest.raises(errors.Conflict, match="version 2, not 1") as caught:
        await users.update(scope, user.id, UserChanges(name="Eve"), expected_version=1)
    assert caught.value.current == changed


async def test_many_at_once_are_deleted_restored_and_removed(scope: Scope) -> None:
    *ids, spared = [row.id for row in await users.create_many(scope, named("a", "b", "c", "d"))]
    assert await users.delete_many(scope, [*ids[:2], uuid4()]) == 2
    assert await users.delete_many(scope, ids[:2]) == 0
    assert await users.restore_many(scope, ids) == 2
    await users.delete(scope, ids[0])
    assert await users.hard_delete_many(scope, ids) == 3
    assert await users.hard_delete_many(scope, ids) == 0
    assert [row.id for row in (await users.list(scope)).items] == [spared]


async def test_a_deleted_user_hides_blocks_and_not_messages(scope: Scope, user: User) -> None:
    agent = await agents.create(scope, NewAgent(name="planner"))
    block = await blocks.create(scope, NewBlock(label="human", user_id=user.id))
    await messages.append(scope, agent.id, [NewMessage(role="user", text="hello", user_id=user.id)])

    await users.delete(scope, user.id)
    assert await blocks.find(scope, block.id) is None
    assert await messages.count(scope, agent.id) == 1

    await users.restore(scope, user.id)
    assert await blocks.get(scope, block.id) == block


async def test_another_tenant_sees_and_changes_nothing(scope: Scope, other: Scope, user: User) -> None:
    for refused in (
        users.get(other, user.id),
        users.update(other, user.id, UserChanges(name="Eve")),
        users.update_many(other, [Edit(user.id, UserChanges(name="Eve"))]),
        users.delete(other, user.id),
        users.restore(other, user.id),
        users.hard_delete(other, user.id),
    ):
        with pytest.raises(errors.NotFound):
            await refused
    assert await users.find(other, user.id) is None
    assert (await users.list(other)).items == []
    assert await users.count(other) == 0
    for passed_over in (users.delete_many, users.restore_many, users.hard_delete_many):
        assert await passed_over(other, [user.id]) == 0
    assert (await users.create(other, NewUser(id=user.id, name="Eve"))).name == "Eve"
    assert await users.get(scope, user.id) == user


async def test_a_deleted_organization_hides_its_users(root: Root, scope: Scope, user: User) -> None:
    await organizations.delete(root, scope.organization_id)
    assert await users.find(scope, user.id) is None
    assert await users.count(scope) == 0
    for refused in (users.create(scope, NewUser(name="x")), users.delete(scope, user.id)):
        with pytest.raises(errors.NotFound):
            await refused
    await organizations.restore(root, scope.organization_id)
    assert await users.get(scope, user.id) == user


async def test_who_acted_is_written_down(root: Root, scope: Scope) -> None:
    maker, changer = uuid4(), uuid4()
    made = await users.create(root.tenant(scope.organization_id, actor_id=maker), NewUser(name="Ada"))
    acting = root.tenant(scope.organization_id, actor_id=changer)
    changed = await users.update(acting, made.id, UserChanges(name="Grace"))
    deleted = await users.delete(acting, made.id)
    assert (made.created_by_id, made.last_updated_by_id) == (maker, maker)
    assert (changed.created_by_id, changed.last_updated_by_id) == (maker, changer)
    assert deleted.deleted_by_id == changer


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 256),
        ("name", "nul\0"),
        ("name", "half \ud800"),
        ("name", None),
        ("status", "asleep"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "europe/berlin"),
        ("timezone", "localtime"),
        ("timezone", "../../etc/passwd"),
        ("timezone", "nul\0"),
        ("metadata", {"half \udfff": 1}),
        ("metadata", {"a": [float("nan")]}),
        ("metadata", None),
    ],
)
def test_bad_input_names_the_field_and_no_value(field: str, value: object) -> None:
    for model, given in ((NewUser, {"name": "Ada", field: value}), (UserChanges, {field: value})):
        with pytest.raises(errors.ValidationError) as caught:
            model.model_validate(given)
        assert [problem.field for problem in caught.value.problems] == [field]
        assert "Mars" not in str(caught.value)
        assert "passwd" not in str(caught.value)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"])
def test_timezones_of_the_zone_database_are_taken(zone: str) -> None:
    assert NewUser(name="Ada", timezone=zone).timezone == zone


async def test_bad_arguments_are_refused_before_any_statement(scope: Scope) -> None:
    for refused in (
        users.list(scope, limit=0),
        users.list(scope, limit=1001),
        users.list(scope, status="asleep"),  # type: ignore[arg-type]
        users.count(scope, status="asleep"),  # type: ignore[arg-type]
        users.list(scope, name="nul\0"),
        users.get(scope, "no uuid"),  # type: ignore[arg-type]
        users.delete_many(scope, ["no uuid"]),  # type: ignore[list-item]
        users.create(scope, NewAgent(name="no user")),  # type: ignore[arg-type]
    ):
        with pytest.raises(errors.ValidationError):
            await refused
    assert await users.count(scope) == 0, "the transaction is still good"


@pytest.mark.own_sessions
async def test_lists_walk_their_index(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("""
            INSERT INTO agentmem.organizations (id, name)
            SELECT md5('o' || g)::uuid, 'o' FROM generate_series(1, 5) AS g;
            INSERT INTO agentmem.users (organization_id, id, name, created_at)
            SELECT md5('o' || 1 + g % 5)::uuid, md5('u' || g)::uuid, 'n' || g % 500, now() - g * interval '1 s'
            FROM generate_series(1, 5000) AS g;
            ANALYZE;
        """)
        for query, index in (
            (statements.LIST, "users_by_age"),
            (statements.LIST_BY_NAME, "users_by_name"),
            (statements.COUNT_BY_NAME, "users_by_name"),
            (statements.GET, "users_pkey"),
        ):
            plan = await generic_plan(connection, query)
            assert re.search(rf"(using|on) {index}\b", plan), plan
            assert "Sort" not in plan, plan
