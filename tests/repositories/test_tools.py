from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.tools import NewTool, Tool, ToolChanges
from agentmem_store.repositories import organizations, tools
from agentmem_store.repositories.changing import Edit
from agentmem_store.statements import tools as statements
from tests.repositories.plans import generic_plan

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.scope import Root, Scope


@pytest.fixture
async def tool(scope: Scope) -> Tool:
    return await tools.create(scope, NewTool(name="search"))


def named(*names: str, **more: Any) -> list[NewTool]:
    return [NewTool(name=name, **more) for name in names]


async def test_tool_repository(scope: Scope) -> None:
    new = NewTool(
        name="search_网",
        description="Finds\nthings",
        json_schema={"type": "object", "properties": {"q": {"type": "string"}}},
        source_type="python",
        source_code="def search(q): ...",
        tags=["web", "b", "web"],
        metadata={"k": None},
    )
    created = await tools.create(scope, new)
    assert created.model_dump(include=set(NewTool.model_fields)) == new.model_dump()
    assert await tools.get(scope, new.id) == await tools.get_by_name(scope, new.name) == created
    assert await tools.count(scope) == 1

    changes = ToolChanges(name="find", description=None, json_schema=None, tags=[])
    changed = await tools.update(scope, new.id, changes, expected_version=1)
    assert (changed.name, changed.description, changed.json_schema, changed.tags) == ("find", None, None, [])
    assert (changed.source_code, changed.version) == (new.source_code, 2)

    await tools.delete(scope, new.id)
    assert await tools.find(scope, new.id) is await tools.find_by_name(scope, "find") is None
    for gone in (tools.get(scope, new.id), tools.get_by_name(scope, "find")):
        with pytest.raises(errors.NotFound, match="tool"):
            await gone
    assert (await tools.restore(scope, new.id)).version == 4
    await tools.hard_delete(scope, new.id)
    with pytest.raises(errors.NotFound):
        await tools.hard_delete(scope, new.id)


async def test_lists_go_from_newest_to_oldest_in_pages(tenant: Scope) -> None:
    made = [await tools.create(tenant, new) for new in named(*"abcde")]
    first = await tools.list(tenant, limit=3)
    rest = await tools.list(tenant, limit=3, cursor=first.next)
    assert [*first.items, *rest.items] == made[::-1]
    assert rest.next is None


async def test_sending_the_same_again_returns_the_stored_row(scope: Scope) -> None:
    new = NewTool(name="search", tags=["a"], json_schema={"b": 1, "a": 2})
    stored = await tools.create(scope, new)
    assert await tools.create(scope, new) == stored
    with pytest.raises(errors.Conflict, match="other content") as caught:
        await tools.create(scope, NewTool(id=new.id, name="search", tags=["b"]))
    assert caught.value.current == stored

    await tools.delete(scope, new.id)
    await tools.create(scope, NewTool(name="search"))
    assert (await tools.create(scope, new)).is_deleted, "a row deleted since comes back as it stands"


async def test_sixteen_copies_of_one_create_give_one_row(tenant: Scope) -> None:
    new = NewTool(name="search")
    rows = await asyncio.gather(*(tools.create(tenant, new) for _ in range(16)))
    assert rows == [rows[0]] * 16


async def test_a_name_is_unique_among_the_living(scope: Scope, other: Scope, tool: Tool) -> None:
    """The transaction stays good: the insert leaves the name out, and the reason is asked for."""
    with pytest.raises(errors.Conflict, match="name") as caught:
        await tools.create(scope, NewTool(name=tool.name))
    assert caught.value.constraint == "tools_name_key"
    with pytest.raises(errors.Conflict, match=r"item 1.*name") as caught:
        await tools.create_many(scope, named("new", tool.name))
    assert caught.value.constraint == "tools_name_key"
    with pytest.raises(errors.ValidationError, match="item 1: name"):
        await tools.create_many(scope, named("twice", "twice"))
    assert await tools.count(scope) == 1
    assert (await tools.create(other, NewTool(name=tool.name))).name == tool.name

    await tools.delete(scope, tool.id)
    assert (await tools.create(scope, NewTool(name=tool.name))).id != tool.id


async def test_a_name_that_was_taken_meanwhile_refuses_restore(tenant: Scope) -> None:
    old = await tools.create(tenant, NewTool(name="search"))
    await tools.delete(tenant, old.id)
    taken = await tools.create(tenant, NewTool(name="search"))
    for refused in (tools.restore(tenant, old.id), tools.restore_many(tenant, [old.id])):
        with pytest.raises(errors.Conflict, match="name") as caught:
            await refused
        assert caught.value.constraint == "tools_name_key"
    await tools.update(tenant, taken.id, ToolChanges(name="other"))
    assert (await tools.restore(tenant, old.id)).name == "search"


async def test_a_name_cannot_be_taken_by_update(tenant: Scope) -> None:
    a, b = await tools.create_many(tenant, named("a", "b"))
    for refused in (
        tools.update(tenant, b.id, ToolChanges(name="a")),
        tools.update_many(tenant, [Edit(a.id, ToolChanges(tags=["x"])), Edit(b.id, ToolChanges(name="a"))]),
    ):
        with pytest.raises(errors.Conflict, match="name") as caught:
            await refused
        assert caught.value.constraint == "tools_name_key"
    with pytest.raises(errors.Conflict, match="version 1, not 3") as caught:
        await tools.update(tenant, a.id, ToolChanges(name="c"), expected_version=3)
    assert caught.value.current == a
    assert (await tools.list(tenant)).items == sorted((a, b), key=lambda row: row.id, reverse=True)


async def test_create_many_is_atomic_and_in_input_order(scope: Scope) -> None:
    new = named("c", "a", "b")[::-1]
    assert [row.name for row in await tools.create_many(scope, new)] == ["b", "a", "c"]
    assert [row.name for row in await tools.create_many(scope, [new[2], *named("d"), new[0]])] == ["c", "d", "b"]
    with pytest.raises(errors.Conflict, match="item 1"):
        await tools.create_many(scope, [*named("e"), NewTool(id=new[0].id, name="other")])
    assert await tools.count(scope) == 4


async def test_many_at_once_are_changed_deleted_restored_and_removed(scope: Scope) -> None:
    *rows, spared = await tools.create_many(scope, named("a", "b", "c", "d"))
    ids = [row.id for row in rows]
    edits = [Edit(row_id, ToolChanges(metadata={"n": n})) for n, row_id in enumerate(ids[::-1])]
    assert [row.id for row in await tools.update_many(scope, edits)] == ids[::-1]
    with pytest.raises(errors.NotFound, match="item 0"):
        await tools.update_many(scope, [Edit(uuid4(), ToolChanges(name="x")), *edits])
    assert await tools.delete_many(scope, [*ids[:2], uuid4()]) == 2
    assert await tools.restore_many(scope, ids) == 2
    assert await tools.hard_delete_many(scope, ids) == 3
    assert (await tools.list(scope)).items == [spared]


async def test_upsert_creates_then_rewrites_and_keeps_the_id(tenant: Scope) -> None:
    first = await tools.upsert(tenant, NewTool(name="search", description="old", tags=["a"], source_code="x"))
    again = await tools.upsert(tenant, NewTool(name="search", description="new", metadata={"k": 1}))
    assert (again.id, again.version, again.created_at) == (first.id, 2, first.created_at)
    assert (again.description, again.tags, again.source_code, again.metadata) == ("new", [], None, {"k": 1})
    assert again.updated_at > first.updated_at

    await tools.delete(tenant, first.id)
    fresh = await tools.upsert(tenant, NewTool(name="search"))
    assert (fresh.id != first.id, fresh.version) == (True, 1)
    with pytest.raises(errors.Conflict, match="new id") as caught:
        await tools.upsert(tenant, NewTool(id=first.id, name="elsewhere"))
    assert caught.value.constraint == "tools_pkey"


async def test_upsert_many_returns_rows_in_input_order(scope: Scope, tool: Tool) -> None:
    rows = await tools.upsert_many(scope, named("z", tool.name, "a", description="d"))
    assert [row.name for row in rows] == ["z", tool.name, "a"]
    assert [row.version for row in rows] == [1, 2, 1]
    assert {row.description for row in rows} == {"d"}
    assert await tools.upsert_many(scope, []) == []
    with pytest.raises(errors.ValidationError, match="item 1: name"):
        await tools.upsert_many(scope, named("twice", "twice"))
    assert await tools.count(scope) == 3


async def test_eight_upserts_of_one_name_leave_one_tool(tenant: Scope) -> None:
    rows = await asyncio.gather(*(tools.upsert(tenant, new) for new in named(*["search"] * 8)))
    assert len({row.id for row in rows}) == 1
    assert sorted(row.version for row in rows) == [*range(1, 9)]
    assert await tools.count(tenant) == 1


async def test_eight_copies_of_one_upsert_leave_one_tool(tenant: Scope) -> None:
    new = NewTool(name="search")
    rows = await asyncio.gather(*(tools.upsert(tenant, new) for _ in range(8)))
    assert {row.id for row in rows} == {new.id}
    assert sorted(row.version for row in rows) == [*range(1, 9)]


async def test_overlapping_upsert_batches_do_not_deadlock(tenant: Scope) -> None:
    names = [f"tool {n}" for n in range(20)]
    batches = [named(*names[n:], *names[:n]) for n in range(8)]
    await asyncio.gather(*(tools.upsert_many(tenant, batch) for batch in batches))
    page = await tools.list(tenant)
    assert sorted(row.name for row in page.items) == sorted(names)
    assert {row.version for row in page.items} == {8}


async def test_tags_are_matched_all_or_any(tenant: Scope) -> None:
    tags: dict[str, list[str]] = {"a": ["x", "y"], "b": ["y", "z"], "c": ["x"], "d": [], "e": ["x", "y", 'it\'s "q"']}
    for name, its in tags.items():
        await tools.create(tenant, NewTool(name=name, tags=its))

    async def names(wanted: list[str], **more: Any) -> str:
        return "".join(tool.name for tool in (await tools.by_tags(tenant, wanted, **more)).items)

    assert await names(["x", "y"]) == "ea"
    assert await names(["x", "z"], match="any") == "ecba"
    assert await names(['it\'s "q"']) == await names(['it\'s "q"', "none"], match="any") == "e"
    assert await names(["none"]) == await names(["none"], match="any") == ""
    first = await tools.by_tags(tenant, ["x"], limit=2)
    rest = await tools.by_tags(tenant, ["x"], limit=2, cursor=first.next)
    assert ([tool.name for tool in first.items], [tool.name for tool in rest.items]) == (["e", "c"], ["a"])
    with pytest.raises(errors.ValidationError, match="cursor"):
        await tools.by_tags(tenant, ["y"], cursor=first.next)
    await tools.delete(tenant, first.items[0].id)
    assert await names(["x"]) == "ca"


async def test_another_tenant_sees_and_changes_nothing(scope: Scope, other: Scope, tool: Tool) -> None:
    for refused in (
        tools.get(other, tool.id),
        tools.get_by_name(other, tool.name),
        tools.update(other, tool.id, ToolChanges(tags=["x"])),
        tools.update_many(other, [Edit(tool.id, ToolChanges(tags=["x"]))]),
        tools.delete(other, tool.id),
        tools.restore(other, tool.id),
        tools.hard_delete(other, tool.id),
    ):
        with pytest.raises(errors.NotFound):
            await refused
    assert await tools.find(other, tool.id) is await tools.find_by_name(other, tool.name) is None
    assert (await tools.list(other)).items == (await tools.by_tags(other, ["x"], match="any")).items == []
    assert await tools.count(other) == 0
    for passed_over in (tools.delete_many, tools.restore_many, tools.hard_delete_many):
        assert await passed_over(other, [tool.id]) == 0
    assert (await tools.upsert(other, NewTool(name=tool.name))).id != tool.id
    assert await tools.get(scope, tool.id) == tool


async def test_a_deleted_organization_hides_its_tools(root: Root, scope: Scope, tool: Tool) -> None:
    await organizations.delete(root, scope.organization_id)
    assert await tools.find_by_name(scope, tool.name) is None
    assert (await tools.by_tags(scope, ["x"])).items == []
    for refused in (
        tools.create(scope, NewTool(name="x")),
        tools.upsert(scope, NewTool(name="x")),
        tools.upsert(scope, NewTool(name=tool.name)),
    ):
        with pytest.raises(errors.NotFound, match="organization"):
            await refused
    await organizations.restore(root, scope.organization_id)
    assert await tools.get(scope, tool.id) == tool


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 256),
        ("name", "nul\0"),
        ("name", None),
        ("source_type", "x" * 101),
        ("source_code", "half \ud800"),
        ("description", "nul\0"),
        ("tags", ["nul\0"]),
        ("tags", ["half \ud800"]),
        ("tags", "text"),
        ("tags", None),
        ("json_schema", {"a": float("inf")}),
        ("json_schema", [1]),
        ("metadata", {"nul\0": 1}),
    ],
)
def test_bad_input_names_the_field(field: str, value: object) -> None:
    for model, given in ((NewTool, {"name": "search", field: value}), (ToolChanges, {field: value})):
        with pytest.raises(errors.ValidationError) as caught:
            model.model_validate(given)
        assert {problem.field.partition(".")[0] for problem in caught.value.problems} == {field}


async def test_bad_arguments_are_refused_before_any_statement(scope: Scope) -> None:
    for refused in (
        tools.by_tags(scope, []),
        tools.by_tags(scope, "web"),
        tools.by_tags(scope, ["nul\0"]),
        tools.by_tags(scope, ["half \ud800"], match="any"),
        tools.by_tags(scope, ["x"] * 1001),
        tools.by_tags(scope, [1]),  # type: ignore[list-item]
        tools.by_tags(scope, ["x"], match="none"),  # type: ignore[arg-type]
        tools.by_tags(scope, ["x"], limit=0),
        tools.find_by_name(scope, "nul\0"),
        tools.get(scope, "no uuid"),  # type: ignore[arg-type]
        tools.create_many(scope, ["no tool"]),  # type: ignore[list-item]
        tools.upsert_many(scope, ["no tool"]),  # type: ignore[list-item]
    ):
        with pytest.raises(errors.ValidationError):
            await refused
    assert await tools.count(scope) == 0, "the transaction is still good"


@pytest.mark.own_sessions
async def test_lists_and_tags_use_their_index(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("""
            INSERT INTO agentmem.organizations (id, name)
            SELECT md5('o' || g)::uuid, 'o' FROM generate_series(1, 3) AS g;
            INSERT INTO agentmem.tools (organization_id, id, name, tags, created_at)
            SELECT md5('o' || 1 + g % 3)::uuid, md5('t' || g)::uuid, 'n' || g,
                   jsonb_build_array('common', 't' || g % 200), now() - g * interval '1 s'
            FROM generate_series(1, 6000) AS g;
        """)
        await connection.execute("VACUUM ANALYZE agentmem.tools")
        assert "Index Scan using tools_by_age" in await generic_plan(connection, statements.LIST)
        assert "Index Scan using tools_name_key" in await generic_plan(connection, statements.GET_BY_NAME)
        for query in (statements.BY_ALL_TAGS, statements.BY_ANY_TAG):
            assert "Bitmap Index Scan on tools_by_tag" in await generic_plan(connection, query)
