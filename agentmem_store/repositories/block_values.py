"""The value of a block: append, replace, its history, undo. Part of `blocks`."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.inputs import check_count, check_limit, check_uuid, check_uuids
from agentmem_store.models.blocks import Appending, Block, BlockChanges, BlockValue, Replacing
from agentmem_store.page import Page, decode_cursor, encode_cursor
from agentmem_store.repositories.changing import Change, Edit, update_row
from agentmem_store.statements import block_values as statements
from agentmem_store.statements.blocks import GET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence
    from uuid import UUID

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["append", "held_to_limit", "history", "locked", "replace", "undo"]

_LIMIT_CONSTRAINT: Final = "blocks_value_within_limit"
_NEWEST: Final = 2**31 - 1


@contextmanager
def held_to_limit() -> Generator[None]:
    """Tell a value that turned out too long in the database as bad input, as it is told where its length is known."""
    try:
        yield
    except errors.ConstraintViolation as error:
        if error.constraint != _LIMIT_CONSTRAINT:
            raise
        raise errors.ValidationError.of("value", "would be longer than the block's limit of characters") from error


@asynccontextmanager
async def locked(scope: Scope, block_ids: Sequence[UUID]) -> AsyncGenerator[Scope, None]:
    """Begin a transaction that holds the blocks.

    A statement that waits for a lock goes on to read everything else as it was before the wait. What must see the links
    or the history of a block as they stand therefore begins after the lock is held.
    """
    ids = check_uuids(block_ids, "block_id")
    async with scope.transaction() as tx:
        await tx.fetch_all(statements.LOCK, ids)
        yield tx


async def append(
    scope: Scope, block_id: UUID, text: str, separator: str = "\n", *, expected_version: int | None = None
) -> Block:
    """Put a text behind a block's value, in one statement, and return the block as it then stands.

    Args:
        text: at least one character.
        separator: what stands between the value and the text; left out where the value is empty.
        expected_version: write only if the block is still at this version.

    Raises:
        NotFound: no such block is visible in this organization.
        Conflict: it is at another version; `current` is the block as it stands.
        ValidationError: the text is empty, or the value would be longer than the block's limit.
    """
    edit = Edit(block_id, Appending(text=text, separator=separator), expected_version)
    with held_to_limit():
        return await update_row(scope, Change("block", statements.APPEND, GET), edit)


async def replace(scope: Scope, block_id: UUID, old: str, new: str, *, expected_version: int | None = None) -> Block:
    """Replace a passage wherever it occurs in a block's value, in one statement; return the block as it then stands.

    Args:
        old: the passage, at least one character, compared exactly.
        new: what takes its place; an empty text takes the passage out.
        expected_version: write only if the block is still at this version.

    Raises:
        NotFound: no such block is visible in this organization.
        Conflict: it is at another version, or the passage does not occur; `current` is the block as it stands.
        ValidationError: `old` is empty, or the value would be longer than the block's limit.
    """
    edit = Edit(block_id, Replacing(old=old, new=new), expected_version)
    with held_to_limit():
        return await _update_if(scope, statements.REPLACE, edit, "the passage to replace does not occur in this block")


async def undo(scope: Scope, block_id: UUID, *, expected_version: int | None = None) -> Block:
    """Put back the value that a block had before its last change, as a new version; return the block.

    Undoing again walks further back, a value at a time, to the first that the block had. Any other change of the value
    ends the walk: the next undo begins at the newest value that was replaced. What an undo took away is part of the
    history too, so that going on reaches it again: no value is ever lost. Only the value is put back, nothing else.

    Args:
        expected_version: write only if the block is still at this version.

    Raises:
        NotFound: no such block is visible in this organization.
        Conflict: it is at another version, or there is no earlier value; `current` is the block as it stands.
        ValidationError: the limit was lowered since, and the earlier value is longer.
    """
    edit = Edit(block_id, BlockChanges(), expected_version)
    with held_to_limit():
        async with locked(scope, [block_id]) as tx:
            return await _update_if(tx, statements.UNDO, edit, "there is no earlier value of this block to go back to")


async def _update_if(scope: Scope, query: Query[Block], edit: Edit[Any], otherwise: str) -> Block:
    """Make an edit that asks something of the value; say `otherwise` if it is that, and not the version, that fails."""
    try:
        return await update_row(scope, Change("block", query, GET), edit)
    except errors.Conflict as conflict:
        if edit.expected_version not in (None, conflict.current.version):
            raise
        raise errors.Conflict(f"{otherwise}: look at `current` and decide again", current=conflict.current) from None


async def history(scope: Scope, block_id: UUID, *, limit: int = 50, cursor: str | None = None) -> Page[BlockValue]:
    """List the values that a block had before, newest first.

    Args:
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another list.
    """
    binding = (statements.HISTORY.name, str(scope.organization_id), str(check_uuid(block_id, "block_id")))
    before = check_count(decode_cursor(cursor, binding)[0], "cursor", most=_NEWEST) if cursor else _NEWEST
    rows = await scope.fetch_all(statements.HISTORY, block_id, check_limit(limit) + 1, before)
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], encode_cursor(binding, rows[limit - 1].version))
