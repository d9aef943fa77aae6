from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from agentmem_store import errors
from agentmem_store.database import Database
from agentmem_store.models.organizations import NewOrganization, Organization, OrganizationChanges
from agentmem_store.repositories import organizations
from agentmem_store.scope import Root


async def all_pages(root: Root, limit: int, name: str | None = None) -> list[list[Organization]]:
    page = await organizations.list(root, name=name, limit=limit)
    pages = [page.items]
    while page.next:
        page = await organizations.list(root, name=name, limit=limit, cursor=page.next)
        pages.append(page.items)
    return pages


async def test_organization_crud(root: Root) -> None:
    before = await organizations.count(root)
    new = NewOrganization(name="Acme 世界", language="german", metadata={"plan": {"seats": 5}})
    created = await organizations.create(root, new)

    assert created.model_dump(include=set(NewOrganization.model_fields)) == new.model_dump()
    assert (created.version, created.is_deleted, created.updated_at) == (1, False, created.created_at)
    assert await organizations.get(root, new.id) == created
    assert await organizations.count(root) == before + 1

    changed = await organizations.update(root, new.id, OrganizationChanges(name="Acme 2"))
    assert (changed.name, changed.metadata, changed.language, changed.version) == ("Acme 2", new.metadata, "german", 2)
    changed = await organizations.update(root, new.id, OrganizationChanges(metadata={}), expected_version=2)
    assert (changed.name, changed.metadata, changed.version) == ("Acme 2", {}, 3)

    deleted = await organizations.delete(root, new.id)
    assert (deleted.is_deleted, deleted.version) == (True, 4)
    assert await organizations.find(root, new.id) is None
    for call in (organizations.get(root, new.id), organizations.delete(root, new.id)):
        with pytest.raises(errors.NotFound, match="no such organization"):
            await call
    assert await organizations.count(root) == before

    restored = await organizations.restore(root, new.id)
    assert (restored.name, restored.is_deleted, restored.deleted_at) == ("Acme 2", False, None)
    assert await organizations.restore(root, new.id) == restored
    await organizations.hard_delete(root, new.id)
    for missing in (organizations.restore(root, new.id), organizations.hard_delete(root, new.id)):
        with pytest.raises(errors.NotFound):
            await missing


async def test_update_at_another_version_shows_the_current_row(root: Root) -> None:
    made = await organizations.create(root, NewOrganization(name="a"))
    now = await organizations.update(root, made.id, OrganizationChanges(name="b"))
    with pytest.raises(errors.Conflict, match="at version 2, not 1") as caught:
        await organizations.update(root, made.id, OrganizationChanges(name="c"), expected_version=1)
    assert caught.value.current == now
    with pytest.raises(errors.NotFound):
        await organizations.update(root, uuid4(), OrganizationChanges(name="c"))
    with pytest.raises(errors.ValidationError, match="expected_version"):
        await organizations.update(root, made.id, OrganizationChanges(name="c"), expected_version=0)


async def test_who_acts_is_written_down(root: Root) -> None:
    creator, editor, remover = uuid4(), uuid4(), uuid4()
    made = await organizations.create(root, NewOrganization(name="a"), actor_id=creator)
    assert (made.created_by_id, made.last_updated_by_id) == (creator, creator)
    made = await organizations.update(root, made.id, OrganizationChanges(name="b"), actor_id=editor)
    assert (made.created_by_id, made.last_updated_by_id) == (creator, editor)
    assert (await organizations.delete(root, made.id, actor_id=remover)).deleted_by_id == remover
    made = await organizations.restore(root, made.id, actor_id=creator)
    assert (made.deleted_by_id, made.last_updated_by_id) == (None, creator)


async def test_sent_again_returns_the_stored_row(root: Root) -> None:
    new = NewOrganization(name="a")
    stored = await organizations.create(root, new)
    assert await organizations.create(root, new) == stored
    with pytest.raises(errors.Conflict, match="stored with other content") as caught:
        await organizations.create(root, NewOrganization(id=new.id, name="b"))
    assert caught.value.current == stored
    changed = await organizations.update(root, new.id, OrganizationChanges(name="c"))
    assert await organizations.create(root, new) == changed
    deleted = await organizations.delete(root, new.id)
    assert await organizations.create(root, new) == deleted


async def test_create_many_is_all_or_nothing(root: Root) -> None:
    stored = await organizations.create(root, NewOrganization(name="a"))
    before = await organizations.count(root)
    batch = [NewOrganization(name="b"), NewOrganization(id=stored.id, name="not a")]
    with pytest.raises(errors.Conflict):
        await organizations.create_many(root, batch)
    assert await organizations.count(root) == before
    made = await organizations.create_many(root, [NewOrganization(name=name) for name in "xyz"])
    assert [one.name for one in made] == [*"xyz"]


async def test_list_pages_over_equal_times(root: Root) -> None:
    made = await organizations.create_many(root, [NewOrganization(name="paged") for _ in range(5)])
    assert len({one.created_at for one in made}) == 1
    expected = sorted((one.id for one in made), reverse=True)
    for limit in (1, 2, 5, 6):
        pages = await all_pages(root, limit, name="paged")
        assert [one.id for page in pages for one in page] == expected
        assert all(len(page) == limit for page in pages[:-1])
        assert pages[-1], "no empty page at the end"
    everything = [one.id for page in await all_pages(root, 3) for one in page]
    assert [row_id for row_id in everything if row_id in set(expected)] == expected
    assert len(everything) == len(set(everything)) == await organizations.count(root)


async def test_a_foreign_cursor_or_a_bad_limit_is_refused(root: Root) -> None:
    await organizations.create_many(root, [NewOrganization(name="paged") for _ in range(3)])
    cursor = (await organizations.list(root, name="paged", limit=1)).next
    for call in (
        organizations.list(root, cursor=cursor),
        organizations.list(root, name="another", cursor=cursor),
        organizations.list(root, cursor="nonsense"),
    ):
        with pytest.raises(errors.ValidationError, match="cursor"):
            await call
    for limit in (0, 1001, True):
        with pytest.raises(errors.ValidationError, match="limit"):
            await organizations.list(root, limit=limit)


async def test_find_by_name_is_the_oldest_living_match(db: Database) -> None:
    first, second = [await organizations.create(db, NewOrganization(name="twin")) for _ in range(2)]
    assert await organizations.find_by_name(db, "twin") == first
    await organizations.delete(db, first.id)
    assert await organizations.find_by_name(db, "twin") == second
    assert await organizations.find_by_name(db, "nobody") is None


async def test_the_same_sent_by_eight_at_once_is_stored_once(db: Database) -> None:
    new = NewOrganization(name="a")
    rows = await asyncio.gather(*(organizations.create(db, new) for _ in range(8)))
    assert all(row == rows[0] for row in rows)
    assert await organizations.count(db) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "a", "metadata": {"n": float("inf")}}, "metadata"),
        ({"name": "a", "language": ""}, "language"),
        ({"name": "a", "plan": "pro"}, "plan"),
    ],
    ids=str,
)
def test_bad_input_names_the_field(fields: dict[str, object], field: str) -> None:
    with pytest.raises(errors.ValidationError) as caught:
        NewOrganization.model_validate(fields)
    assert [problem.field for problem in caught.value.problems] == [field]
