"""Blocks: create, read, change, delete. Their values are in `block_values`, their links to agents in `block_links`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from agentmem_store.inputs import check_text, check_uuid, check_uuids
from agentmem_store.page import Page, list_page
from agentmem_store.repositories.block_batches import CREATION, create_many
from agentmem_store.repositories.block_links import agents, attach, attach_many, by_agent, detach
from agentmem_store.repositories.block_values import append, held_to_limit, history, locked, replace, undo
from agentmem_store.repositories.changing import (
    Change,
    Edit,
    count_rows,
    delete_row,
    hard_delete_row,
    restore_row,
    update_row,
    update_rows,
)
from agentmem_store.repositories.creation import create_row
from agentmem_store.repositories.reading import Lookup, find_row, get_row
from agentmem_store.statements import block_values
from agentmem_store.statements import blocks as statements

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Sequence
    from uuid import UUID

    from agentmem_store.models.blocks import Block, BlockChanges, NewBlock
    from agentmem_store.scope import Scope

__all__ = [
    "agents",
    "append",
    "attach",
    "attach_many",
    "by_agent",
    "count",
    "create",
    "create_many",
    "delete",
    "delete_many",
    "detach",
    "find",
    "get",
    "hard_delete",
    "hard_delete_many",
    "history",
    "list",
    "replace",
    "restore",
    "restore_many",
    "undo",
    "update",
    "update_many",
]


_LOOKUP: Final = Lookup("block", statements.GET, statements.GET_MANY)
_CHANGE: Final = Change("block", block_values.UPDATE, statements.GET)


async def create(scope: Scope, new: NewBlock) -> Block:
    """Create a block. Sending the same again returns the stored row.

    Raises:
        NotFound: the organization or the user does not exist or is deleted.
        Conflict: the id is stored with other content.
    """
    return await create_row(scope, CREATION, new)


async def get(scope: Scope, block_id: UUID) -> Block:
    """Return a block.

    Raises:
        NotFound: no such block is visible in this organization.
    """
    return await get_row(scope, _LOOKUP, block_id)


async def find(scope: Scope, block_id: UUID) -> Block | None:
    """Return a block, or None if no such block is visible in this organization."""
    return await find_row(scope, _LOOKUP, block_id)


async def list(
    scope: Scope,
    *,
    user_id: UUID | None = None,
    label: str | None = None,
    template_name: str | None = None,
    is_template: bool | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Block]:
    """List blocks, newest first. What is asked for together must all be so.

    Args:
        user_id: only those of this user.
        label: only those of exactly this label.
        template_name: only templates of exactly this name.
        is_template: only templates, or only what is none.
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another list.
    """
    user_id = None if user_id is None else check_uuid(user_id, "user_id")
    label = None if label is None else check_text(label, "label")
    if template_name is not None:
        filters: tuple[Any, ...] = (check_text(template_name, "template_name"), user_id, label, is_template)
        return await list_page(scope, statements.LIST_BY_TEMPLATE, *filters, limit=limit, cursor=cursor)
    if user_id is not None:
        filters = (user_id, label, is_template)
        return await list_page(scope, statements.LIST_BY_USER, *filters, limit=limit, cursor=cursor)
    if label is not None:
        return await list_page(scope, statements.LIST_BY_LABEL, label, is_template, limit=limit, cursor=cursor)
    if is_template:
        return await list_page(scope, statements.LIST_TEMPLATES, limit=limit, cursor=cursor)
    return await list_page(scope, statements.LIST, is_template, limit=limit, cursor=cursor)


async def count(scope: Scope) -> int:
    """Count the blocks that are visible in this organization."""
    return await scope.fetch_one(statements.COUNT)


async def update(scope: Scope, block_id: UUID, changes: BlockChanges, *, expected_version: int | None = None) -> Block:
    """Write what is set on `changes`, and return the block as it then stands. A new label goes to its links as well.

    Args:
        expected_version: write only if the block is still at this version.

    Raises:
        NotFound: no such block is visible in this organization.
        Conflict: it is at another version; `current` is the block as it stands.
        ValidationError: the value is longer than the block's limit.
    """
    edit = Edit(block_id, changes, expected_version)
    with held_to_limit():
        async with _links_settled(scope, [edit]) as settled:
            return await update_row(settled, _CHANGE, edit)


async def update_many(scope: Scope, edits: Sequence[Edit[BlockChanges]]) -> builtins.list[Block]:
    """Make all of the edits or none; return one block per edit, in their order.

    Raises:
        NotFound: a block is not visible; the message names the item.
        Conflict: a block is at another version than expected.
        ValidationError: an id is given twice, or a value is longer than its block's limit.
    """
    with held_to_limit():
        async with _links_settled(scope, edits) as settled:
            return await update_rows(settled, _CHANGE, edits)


@asynccontextmanager
async def _links_settled(scope: Scope, edits: Sequence[Edit[BlockChanges]]) -> AsyncGenerator[Scope, None]:
    """Lock blocks that get another label first: a link that is being made would keep the old one."""
    if not any("label" in edit.changes.model_fields_set for edit in edits):
        yield scope
        return
    async with locked(scope, [edit.id for edit in edits]) as tx:
        yield tx


async def delete(scope: Scope, block_id: UUID) -> Block:
    """Delete a block softly: it is hidden until `restore`; its links and its history stay.

    Raises:
        NotFound: no such block is visible in this organization.
    """
    return await delete_row(scope, statements.DELETE, "block", block_id)


async def delete_many(scope: Scope, block_ids: Sequence[UUID]) -> int:
    """Delete blocks softly, all in one statement; return how many were deleted by it.

    Ids that are unknown or deleted already are passed over, so that the same call can be sent again.
    """
    return await count_rows(scope, statements.DELETE, scope.actor_id, check_uuids(block_ids, "block_id"))


async def restore(scope: Scope, block_id: UUID) -> Block:
    """Undo a soft delete and return the block; one that is not deleted comes back as it stands.

    Raises:
        NotFound: there is no such block, or its user or organization is deleted.
    """
    return await restore_row(scope, statements.RESTORE, statements.GET, "block", block_id)


async def restore_many(scope: Scope, block_ids: Sequence[UUID]) -> int:
    """Undo soft deletes, all in one statement; return how many were restored. Others are passed over."""
    return await count_rows(scope, statements.RESTORE, scope.actor_id, check_uuids(block_ids, "block_id"))


async def hard_delete(scope: Scope, block_id: UUID) -> None:
    """Remove a block, deleted or not, with its history and its links, for good.

    Raises:
        NotFound: there is no such block.
    """
    await hard_delete_row(scope, statements.HARD_DELETE, "block", block_id)


async def hard_delete_many(scope: Scope, block_ids: Sequence[UUID]) -> int:
    """Remove blocks for good, all in one statement; return how many there were. Unknown ids are passed over."""
    return await count_rows(scope, statements.HARD_DELETE, check_uuids(block_ids, "block_id"))
