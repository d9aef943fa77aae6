from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.blocks import Block, BlockChanges, NewBlock
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import blocks, organizations, users
from agentmem_store.repositories.changing import Edit
from agentmem_store.statements import blocks as statements
from tests.repositories.plans import generic_plan

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.scope import Root, Scope


@pytest.fixture
async def block(scope: Scope) -> Block:
    return await blocks.create(scope, NewBlock(label="human", value="Likes tea"))


def labelled(*labels: str, **more: Any) -> list[NewBlock]:
    return [NewBlock(label=label, **more) for label in labels]


async def test_block_crud(scope: Scope) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    new = NewBlock(
        user_id=user.id,
        label="human",
        value="喜欢茶",
        limit=3,
        description="about them",
        is_template=True,
        template_name="starter",
        metadata={"k": [None]},
    )
    created = await blocks.create(scope, new)
    assert created.model_dump(include=set(NewBlock.model_fields)) == new.model_dump()
    assert await blocks.get(scope, new.id) == created

    changes = BlockChanges(description=None, template_name=None, is_template=False, limit=5, value="12345", metadata={})
    changed = await blocks.update(scope, new.id, changes, expected_version=1)
    assert changed.model_dump(include=changes.model_fields_set) == changes.model_dump(exclude={"label"})
    assert (changed.label, changed.user_id, changed.version) == ("human", user.id, 2)

    assert (await blocks.delete(scope, new.id)).is_deleted
    assert await blocks.find(scope, new.id) is None
    with pytest.raises(errors.NotFound, match="block"):
        await blocks.append(scope, new.id, "x")
    restored = await blocks.restore(scope, new.id)
    assert (restored.value, restored.version) == ("12345", 4)
    await blocks.hard_delete(scope, new.id)
    with pytest.raises(errors.NotFound):
        await blocks.hard_delete(scope, new.id)


async def test_block_validation(tenant: Scope) -> None:
    """The limit is in characters, here and in the database: 2,000 Chinese characters (6,000 bytes) fit 2,000."""
    full = await blocks.create(tenant, NewBlock(label="persona", value="记" * 2000))
    assert (full.limit, len(full.value)) == (2000, 2000)
    for model in (NewBlock, BlockChanges):
        with pytest.raises(errors.ValidationError, match="value: has 2001 characters"):
            model.model_validate({"label": "persona", "limit": 2000, "value": "记" * 2001})

    for too_long in (
        blocks.append(tenant, full.id, "忆", ""),
        blocks.replace(tenant, full.id, "记", "记忆"),
        blocks.update(tenant, full.id, BlockChanges(value="忆" * 2001)),
        blocks.update(tenant, full.id, BlockChanges(limit=1999)),
        blocks.update_many(tenant, [Edit(full.id, BlockChanges(value="忆" * 2001))]),
    ):
        with pytest.raises(errors.ValidationError, match="value: would be longer than the block's limit") as caught:
            await too_long
        assert isinstance(caught.value.__cause__, errors.ConstraintViolation)
    assert await blocks.get(tenant, full.id) == full
    assert (await blocks.history(tenant, full.id)).items == []

    more = await blocks.update(tenant, full.id, BlockChanges(limit=2001, value="忆" * 2001))
    assert len(more.value) == 2001


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", ""),
        ("label", "x" * 51),
        ("label", "nul\0"),
        ("label", None),
        ("value", "nul\0"),
        ("value", "half \ud800"),
        ("value", None),
        ("limit", 0),
        ("limit", 10_000_001),
        ("limit", 1.5),
        ("limit", None),
        ("template_name", "x" * 256),
        ("is_template", "perhaps"),
        ("metadata", {"half \udfff": 1}),
    ],
)
def test_bad_input_names_the_field(field: str, value: object) -> None:
    for model, given in ((NewBlock, {"label": "human", field: value}), (BlockChanges, {field: value})):
        with pytest.raises(errors.ValidationError) as caught:
            model.model_validate(given)
        assert [problem.field for problem in caught.value.problems] == [field]


async def test_bad_arguments_are_refused_before_any_statement(scope: Scope, block: Block) -> None:
    for refused in (
        blocks.append(scope, block.id, ""),
        blocks.append(scope, block.id, "nul\0"),
        blocks.append(scope, block.id, "x", "half \ud800"),
        blocks.append(scope, block.id, "x", expected_version=0),
        blocks.append(scope, "no uuid", "x"),  # type: ignore[arg-type]
        blocks.replace(scope, block.id, "", "x"),
        blocks.replace(scope, block.id, "tea", "nul\0"),
        blocks.undo(scope, "no uuid"),  # type: ignore[arg-type]
        blocks.update(scope, "no uuid", BlockChanges(label="x")),  # type: ignore[arg-type]
        blocks.history(scope, block.id, limit=0),
        blocks.history(scope, block.id, cursor="nonsense"),
        blocks.list(scope, label="nul\0"),
        blocks.list(scope, user_id="no uuid"),  # type: ignore[arg-type]
        blocks.create_many(scope, ["no block"]),  # type: ignore[list-item]
    ):
        with pytest.raises(errors.ValidationError):
            await refused
    assert await blocks.get(scope, block.id) == block, "the transaction is still good"


async def test_sending_the_same_again_returns_the_stored_row(scope: Scope) -> None:
    new = NewBlock(label="human", value="Likes tea")
    stored = await blocks.create(scope, new)
    assert await blocks.create(scope, new) == stored
    with pytest.raises(errors.Conflict, match="other content") as caught:
        await blocks.create(scope, NewBlock(id=new.id, label="human", value="Likes coffee"))
    assert caught.value.current == stored
    changed = await blocks.append(scope, new.id, "Likes cake")
    assert await blocks.create(scope, new) == changed


async def test_create_many_is_atomic_and_in_input_order(scope: Scope) -> None:
    new = labelled("c", "a", "b")[::-1]
    assert [row.id for row in await blocks.create_many(scope, new)] == [block.id for block in new]
    assert [row.label for row in await blocks.create_many(scope, [new[2], *labelled("d"), new[0]])] == ["c", "d", "b"]
    with pytest.raises(errors.NotFound, match="item 1: no such user"):
        await blocks.create_many(scope, [*labelled("e"), *labelled("f", user_id=uuid4())])
    with pytest.raises(errors.Conflict, match="item 1"):
        await blocks.create_many(scope, [*labelled("e"), NewBlock(id=new[0].id, label="other")])
    assert await blocks.count(scope) == 4


async def test_many_at_once_are_changed_deleted_restored_and_removed(scope: Scope) -> None:
    *rows, spared = await blocks.create_many(scope, labelled("a", "b", "c", "d"))
    ids = [row.id for row in rows]
    edits = [Edit(row_id, BlockChanges(label="x", value=str(n))) for n, row_id in enumerate(ids[::-1])]
    assert [(row.id, row.value) for row in await blocks.update_many(scope, edits)] == [
        (row_id, str(n)) for n, row_id in enumerate(ids[::-1])
    ]
    stale = Edit(spared.id, BlockChanges(value="y"), expected_version=2)
    with pytest.raises(errors.Conflict, match="item 3"):
        await blocks.update_many(scope, [*edits, stale])
    assert await blocks.update_many(scope, []) == []
    assert await blocks.delete_many(scope, [*ids[:2], uuid4()]) == 2
    assert await blocks.restore_many(scope, ids) == 2
    assert await blocks.hard_delete_many(scope, ids) == 3
    assert (await blocks.list(scope)).items == [spared]


async def test_a_version_conflict_carries_the_current_row(scope: Scope, block: Block) -> None:
    current = await blocks.append(scope, block.id, "and cake", " ", expected_version=1)
    assert current.value == "Likes tea and cake"
    for refused in (
        blocks.update(scope, block.id, BlockChanges(value="x"), expected_version=1),
        blocks.update(scope, block.id, BlockChanges(label="x"), expected_version=1),
        blocks.append(scope, block.id, "x", expected_version=1),
        blocks.replace(scope, block.id, "tea", "x", expected_version=1),
        blocks.undo(scope, block.id, expected_version=1),
    ):
        with pytest.raises(errors.Conflict, match="version 2, not 1") as caught:
            await refused
        assert caught.value.current == current


async def test_lists_filter_by_user_label_and_template(tenant: Scope) -> None:
    ada, eve = [(await users.create(tenant, NewUser(name=name))).id for name in ("Ada", "Eve")]
    given: list[dict[str, Any]] = [
        {"label": "human", "user_id": ada},
        {"label": "persona", "user_id": ada},
        {"label": "human", "user_id": eve},
        {"label": "human"},
        {"label": "human", "is_template": True, "template_name": "t"},
        {"label": "persona", "is_template": True, "template_name": "t", "user_id": ada},
        {"label": "persona", "is_template": True},
    ]
    made = [await blocks.create(tenant, NewBlock(**fields)) for fields in given]

    async def found(**filters: Any) -> list[int]:
        pages = [await blocks.list(tenant, **filters, limit=2)]
        while cursor := pages[-1].next:
            pages.append(await blocks.list(tenant, **filters, limit=2, cursor=cursor))
        return [made.index(row) for page in pages for row in page.items]

    assert await found() == [6, 5, 4, 3, 2, 1, 0]
    assert await found(user_id=ada) == [5, 1, 0]
    assert await found(label="human") == [4, 3, 2, 0]
    assert await found(user_id=ada, label="persona") == [5, 1]
    assert await found(is_template=True) == [6, 5, 4]
    assert await found(is_template=False) == [3, 2, 1, 0]
    assert await found(template_name="t") == await found(template_name="t", is_template=True) == [5, 4]
    assert await found(template_name="t", label="human") == [4]
    assert await found(template_name="t", user_id=ada) == [5]
    assert await found(template_name="t", is_template=False) == []
    assert await found(label="persona", is_template=True) == [6, 5]
    assert await found(user_id=ada, is_template=True) == [5]
    await users.delete(tenant, ada)
    assert await found() == [6, 4, 3, 2]
    assert await found(is_template=True) == [6, 4]
    assert await found(user_id=ada) == []
    assert await blocks.count(tenant) == 4


async def test_a_deleted_user_hides_its_blocks_until_it_is_restored(scope: Scope) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    block = await blocks.create(scope, NewBlock(label="human", user_id=user.id))
    await users.delete(scope, user.id)
    for refused in (
        blocks.get(scope, block.id),
        blocks.append(scope, block.id, "x"),
        blocks.update(scope, block.id, BlockChanges(value="x")),
        blocks.undo(scope, block.id),
        blocks.delete(scope, block.id),
        blocks.restore(scope, block.id),
        blocks.create(scope, NewBlock(label="new", user_id=user.id)),
    ):
        with pytest.raises(errors.NotFound):
            await refused
    await users.restore(scope, user.id)
    assert await blocks.get(scope, block.id) == block
    await users.hard_delete(scope, user.id)
    assert await blocks.hard_delete_many(scope, [block.id]) == 0


async def test_another_tenant_sees_and_changes_nothing(scope: Scope, other: Scope, block: Block) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    for refused in (
        blocks.get(other, block.id),
        blocks.update(other, block.id, BlockChanges(label="x")),
        blocks.update_many(other, [Edit(block.id, BlockChanges(value="x"))]),
        blocks.append(other, block.id, "x"),
        blocks.replace(other, block.id, "tea", "x"),
        blocks.undo(other, block.id),
        blocks.delete(other, block.id),
        blocks.restore(other, block.id),
        blocks.hard_delete(other, block.id),
        blocks.create(other, NewBlock(label="x", user_id=user.id)),
    ):
        with pytest.raises(errors.NotFound):
            await refused
    assert await blocks.find(other, block.id) is None
    assert (await blocks.list(other)).items == (await blocks.list(other, label="human")).items == []
    assert (await blocks.list(other, user_id=user.id)).items == []
    assert (await blocks.history(other, block.id)).items == []
    assert await blocks.count(other) == 0
    for passed_over in (blocks.delete_many, blocks.restore_many, blocks.hard_delete_many):
        assert await passed_over(other, [block.id]) == 0
    assert await blocks.get(scope, block.id) == block


async def test_a_deleted_organization_hides_its_blocks(root: Root, scope: Scope, block: Block) -> None:
    await organizations.delete(root, scope.organization_id)
    assert await blocks.find(scope, block.id) is None
    assert (await blocks.list(scope, label="human")).items == []
    for refused in (blocks.append(scope, block.id, "x"), blocks.create(scope, NewBlock(label="x"))):
        with pytest.raises(errors.NotFound):
            await refused
    await organizations.restore(root, scope.organization_id)
    assert await blocks.get(scope, block.id) == block


@pytest.mark.own_sessions
async def test_each_list_walks_its_index(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("""
            INSERT INTO agentmem.organizations (id, name)
            SELECT md5('o' || g)::uuid, 'o' FROM generate_series(1, 3) AS g;
            INSERT INTO agentmem.users (organization_id, id, name)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('u' || g)::uuid, 'n' FROM generate_series(1, 3000) AS g;
            INSERT INTO agentmem.blocks (organization_id, id, user_id, label, is_template, template_name, created_at)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('b' || g)::uuid, md5('u' || g)::uuid, 'l' || g % 50,
                   g % 20 = 0, CASE WHEN g % 20 = 0 THEN 't' || g % 3 END, now() - g * interval '1 s'
            FROM generate_series(1, 3000) AS g;
            ANALYZE;
        """)
        for query, index in (
            (statements.LIST, "Index Scan using blocks_by_age"),
            (statements.LIST_BY_USER, "Index Scan using blocks_by_user"),
            (statements.LIST_BY_LABEL, "Index Scan using blocks_by_label"),
            (statements.LIST_BY_TEMPLATE, "Index Scan using blocks_by_template"),
            (statements.LIST_TEMPLATES, "Index Scan on blocks_by_template"),
        ):
            plan = await generic_plan(connection, query)
            assert index in plan, plan
            assert "hashed" not in plan, "a page asks for the users of its own rows, never for all of the tenant's"
