"""Organizations, the tenants. The only functions that take a `Database`, or a transaction of it, and no scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store import errors
from agentmem_store.inputs import check_count, check_limit, check_text, check_uuid, json_text
from agentmem_store.page import Page, position_of, to_page
from agentmem_store.repositories.reading import found
from agentmem_store.statements import organizations as statements

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.organizations import NewOrganization, Organization, OrganizationChanges
    from agentmem_store.scope import Root

__all__ = [
    "count",
    "create",
    "create_many",
    "delete",
    "find",
    "find_by_name",
    "get",
    "hard_delete",
    "list",
    "restore",
    "update",
]


async def create(root: Root, new: NewOrganization, *, actor_id: UUID | None = None) -> Organization:
    """Create an organization. Sending the same again returns the stored row.

    Raises:
        Conflict: the id is stored with other content.
    """
    args = (new.id, new.name, new.language, json_text(new.metadata))
    row = await root.fetch_optional(statements.CREATE, *args, actor_id)
    if row is None:
        row = await root.fetch_optional(statements.CREATE_AGAIN, *args)
    if row is None:
        current = await root.fetch_optional(statements.GET, new.id)
        raise errors.Conflict("this organization is stored with other content", current=current)
    return row


async def create_many(
    root: Root, new: Sequence[NewOrganization], *, actor_id: UUID | None = None
) -> builtins.list[Organization]:
    """Create all of the organizations or none; return one row per input, in input order.

    Raises:
        Conflict: an id is stored with other content.
    """
    async with root.transaction() as tx:
        return [await create(tx, one, actor_id=actor_id) for one in new]


async def get(root: Root, organization_id: UUID) -> Organization:
    """Return an organization.

    Raises:
        NotFound: there is none of that id, or it is deleted.
    """
    return found(await find(root, organization_id), "organization")


async def find(root: Root, organization_id: UUID) -> Organization | None:
    """Return an organization, or None if there is none of that id, or it is deleted."""
    return await root.fetch_optional(statements.GET, check_uuid(organization_id, "organization_id"))


async def find_by_name(root: Root, name: str) -> Organization | None:
    """Return the oldest organization of exactly this name, or None."""
    return await root.fetch_optional(statements.OLDEST_BY_NAME, check_text(name, "name"))


async def list(
    root: Root, *, name: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[Organization]:
    """List organizations, newest first.

    Args:
        name: only those of exactly this name.
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another list.
    """
    query = statements.LIST if name is None else statements.LIST_BY_NAME
    filters = () if name is None else (check_text(name, "name"),)
    binding = (query.name, *filters)
    created_at, row_id = position_of(cursor, binding)
    return to_page(await root.fetch_all(query, check_limit(limit) + 1, created_at, row_id, *filters), limit, binding)


async def count(root: Root) -> int:
    """Count the organizations that are not deleted."""
    return await root.fetch_one(statements.COUNT)


async def update(
    root: Root,
    organization_id: UUID,
    changes: OrganizationChanges,
    *,
    expected_version: int | None = None,
    actor_id: UUID | None = None,
) -> Organization:
    """Write what is set on `changes`, and return the organization as it then stands.

    Args:
        expected_version: write only if it is still at this version.

    Raises:
        NotFound: there is none of that id, or it is deleted.
        Conflict: it is at another version; `current` is the organization as it stands.
    """
    if expected_version is not None:
        check_count(expected_version, "expected_version", least=1, most=2**31 - 1)
    check_uuid(organization_id, "organization_id")
    args = (organization_id, actor_id, expected_version, changes.patch())
    row = await root.fetch_optional(statements.UPDATE, *args)
    if row is None:
        current = await get(root, organization_id)
        message = f"this organization is at version {current.version}, not {expected_version}"
        raise errors.Conflict(message, current=current)
    return row


async def delete(root: Root, organization_id: UUID, *, actor_id: UUID | None = None) -> Organization:
    """Delete an organization softly: it and all that it holds are hidden until `restore`.

    Raises:
        NotFound: there is none of that id, or it is deleted already.
    """
    row = await root.fetch_optional(statements.DELETE, check_uuid(organization_id, "organization_id"), actor_id)
    return found(row, "organization")


async def restore(root: Root, organization_id: UUID, *, actor_id: UUID | None = None) -> Organization:
    """Undo a soft delete and return the organization; one that is not deleted comes back as it stands.

    Raises:
        NotFound: there is none of that id.
    """
    row = await root.fetch_optional(statements.RESTORE, check_uuid(organization_id, "organization_id"), actor_id)
    return row if row is not None else await get(root, organization_id)


async def hard_delete(root: Root, organization_id: UUID) -> None:
    """Remove an organization, deleted or not, with all that it holds, for good.

    Raises:
        NotFound: there is none of that id.
    """
    check_uuid(organization_id, "organization_id")
    removed: UUID | None = await root.fetch_optional(statements.HARD_DELETE, organization_id)
    found(removed, "organization")
