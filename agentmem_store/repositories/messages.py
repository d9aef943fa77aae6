"""Messages: an agent's conversation, in the order in which it was committed. Appending is in `message_append`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.inputs import (
    check_count,
    check_limit,
    check_text,
    check_uuid,
    check_uuids,
)
from agentmem_store.page import Page, decode_cursor, encode_cursor
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
from agentmem_store.repositories.message_append import append, create
from agentmem_store.repositories.message_batches import create_many
from agentmem_store.repositories.message_search import search
from agentmem_store.repositories.reading import Lookup, find_row, get_row
from agentmem_store.statements import messages as statements

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.messages import Message, MessageChanges
    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = [
    "append",
    "around",
    "by_step",
    "count",
    "create",
    "create_many",
    "delete",
    "delete_many",
    "find",
    "get",
    "hard_delete",
    "hard_delete_many",
    "list",
    "recent",
    "restore",
    "restore_many",
    "search",
    "since",
    "trim",
    "update",
    "update_many",
]

_LOOKUP: Final = Lookup("message", statements.GET, statements.GET_MANY)
_CHANGE: Final = Change("message", statements.UPDATE, statements.GET)


async def get(scope: Scope, message_id: UUID) -> Message:
    """Return a message.

    Raises:
        NotFound: no such message is visible in this organization.
    """
    return await get_row(scope, _LOOKUP, message_id)


async def find(scope: Scope, message_id: UUID) -> Message | None:
    """Return a message, or None if no such message is visible in this organization."""
    return await find_row(scope, _LOOKUP, message_id)


async def recent(
    scope: Scope, agent_id: UUID, *, limit: int = 50, user_id: UUID | None = None, group_id: str | None = None
) -> builtins.list[Message]:
    """Return the newest messages of an agent, oldest of them first.

    Args:
        limit: how many, 1 to 1,000.
        user_id: only those exchanged with this user.
        group_id: only those of this thread.
    """
    args = _thread(agent_id, user_id, group_id)
    rows = await scope.fetch_all(statements.RECENT.of(user_id, group_id), *args, check_limit(limit))
    rows.reverse()
    return rows


async def since(
    scope: Scope,
    agent_id: UUID,
    seq: int,
    *,
    limit: int = 50,
    user_id: UUID | None = None,
    group_id: str | None = None,
) -> builtins.list[Message]:
    """Return what was appended after a place, oldest first. Going on from the last one's `seq` misses no commit.

    Args:
        seq: the place to go on after; 0 for the beginning.
        limit: how many, 1 to 1,000.
        user_id: only those exchanged with this user.
        group_id: only those of this thread.
    """
    args = (*_thread(agent_id, user_id, group_id), check_limit(limit), check_count(seq, "seq"))
    return await scope.fetch_all(statements.SINCE.of(user_id, group_id), *args)


async def list(
    scope: Scope,
    agent_id: UUID,
    *,
    limit: int = 50,
    cursor: str | None = None,
    user_id: UUID | None = None,
    group_id: str | None = None,
) -> Page[Message]:
    """List an agent's messages, oldest first.

    Args:
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.
        user_id: only those exchanged with this user.
        group_id: only those of this thread.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another list.
    """
    query = statements.SINCE.of(user_id, group_id)
    return await _page(scope, query, _thread(agent_id, user_id, group_id), limit, cursor)


async def by_step(
    scope: Scope, agent_id: UUID, step_id: str, *, limit: int = 50, cursor: str | None = None
) -> Page[Message]:
    """List the messages of one step of an agent's run, oldest first.

    Args:
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another list.
    """
    step = (check_uuid(agent_id, "agent_id"), check_text(step_id, "step_id"))
    return await _page(scope, statements.BY_STEP, step, limit, cursor)


async def _page(
    scope: Scope, query: Query[Message], filters: tuple[Any, ...], limit: int, cursor: str | None
) -> Page[Message]:
    """Run a query that takes its filters, the number of rows, and the place to go on after."""
    binding = (query.name, str(scope.organization_id), *map(repr, filters))
    after = check_count(decode_cursor(cursor, binding)[0], "cursor") if cursor else 0
    rows = await scope.fetch_all(query, *filters, check_limit(limit) + 1, after)
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], encode_cursor(binding, rows[limit - 1].seq))


async def around(
    scope: Scope,
    agent_id: UUID,
    message_id: UUID,
    *,
    before: int = 5,
    after: int = 5,
    user_id: UUID | None = None,
    group_id: str | None = None,
) -> builtins.list[Message]:
    """Return a message and those next to it, oldest first.

    Args:
        before: how many before it, 0 to 1,000.
        after: how many after it, 0 to 1,000.
        user_id: neighbours exchanged with this user only.
        group_id: neighbours of this thread only.

    Raises:
        NotFound: no such message is visible in this agent's conversation.
    """
    thread = _thread(agent_id, user_id, group_id)
    span = (check_count(before, "before", most=1000), check_count(after, "after", most=1000))
    query = statements.AROUND.of(user_id, group_id)
    rows = await scope.fetch_all(query, *thread, check_uuid(message_id, "message_id"), *span)
    if not rows:
        raise errors.NotFound("message")
    return rows


async def count(scope: Scope, agent_id: UUID, *, user_id: UUID | None = None, group_id: str | None = None) -> int:
    """Count an agent's messages, or those of one user or thread."""
    return await scope.fetch_one(statements.COUNT.of(user_id, group_id), *_thread(agent_id, user_id, group_id))


async def trim(
    scope: Scope,
    agent_id: UUID,
    keep: int,
    *,
    spare_system: bool = False,
    user_id: UUID | None = None,
    group_id: str | None = None,
) -> int:
    """Delete softly all but the newest messages of an agent, in one statement; return how many went.

    Args:
        keep: how many of the newest stay; 0 removes all.
        spare_system: whether system messages are neither counted nor removed.
        user_id: only among those exchanged with this user.
        group_id: only among those of this thread.
    """
    thread = _thread(agent_id, user_id, group_id)
    query = statements.TRIM.of(user_id, group_id)
    return await scope.fetch_one(query, *thread, check_count(keep, "keep"), spare_system, scope.actor_id)


async def update(
    scope: Scope, message_id: UUID, changes: MessageChanges, *, expected_version: int | None = None
) -> Message:
    """Write what is set on `changes`, and return the message as it then stands. Its place stays.

    Args:
        expected_version: write only if the message is still at this version.

    Raises:
        NotFound: no such message is visible in this organization.
        Conflict: it is at another version; `current` is the message as it stands.
    """
    return await update_row(scope, _CHANGE, Edit(message_id, changes, expected_version))


async def update_many(scope: Scope, edits: Sequence[Edit[MessageChanges]]) -> builtins.list[Message]:
    """Make all of the edits or none; return one message per edit, in their order.

    Raises:
        NotFound: a message is not visible; the message names the item.
        Conflict: a message is at another version than expected.
        ValidationError: an id is given twice.
    """
    return await update_rows(scope, _CHANGE, edits)


async def delete(scope: Scope, message_id: UUID) -> Message:
    """Delete a message softly; its place stays empty until `restore`.

    Raises:
        NotFound: no such message is visible in this organization.
    """
    return await delete_row(scope, statements.DELETE, "message", message_id)


async def delete_many(scope: Scope, message_ids: Sequence[UUID]) -> int:
    """Delete messages softly, all in one statement; return how many were deleted by it. Others are passed over."""
    return await count_rows(scope, statements.DELETE, scope.actor_id, check_uuids(message_ids, "message_id"))


async def restore(scope: Scope, message_id: UUID) -> Message:
    """Undo a soft delete and return the message in its old place; one that is not deleted comes back as it stands.

    Raises:
        NotFound: there is no such message, or its agent or organization is deleted.
    """
    return await restore_row(scope, statements.RESTORE, statements.GET, "message", message_id)


async def restore_many(scope: Scope, message_ids: Sequence[UUID]) -> int:
    """Undo soft deletes, all in one statement; return how many were restored. Others are passed over."""
    return await count_rows(scope, statements.RESTORE, scope.actor_id, check_uuids(message_ids, "message_id"))


async def hard_delete(scope: Scope, message_id: UUID) -> None:
    """Remove a message, deleted or not, for good. Its place is not used again.

    Raises:
        NotFound: there is no such message.
    """
    await hard_delete_row(scope, statements.HARD_DELETE, "message", message_id)


async def hard_delete_many(scope: Scope, message_ids: Sequence[UUID]) -> int:
    """Remove messages for good, all in one statement; return how many there were. Unknown ids are passed over."""
    return await count_rows(scope, statements.HARD_DELETE, check_uuids(message_ids, "message_id"))


def _thread(agent_id: UUID, user_id: UUID | None, group_id: str | None) -> tuple[UUID, UUID | None, str | None]:
    """Check what says whose messages are meant: $2, $3 and $4 of every statement over a thread."""
    if user_id is not None:
        check_uuid(user_id, "user_id")
    if group_id is not None:
        check_text(group_id, "group_id")
    return check_uuid(agent_id, "agent_id"), user_id, group_id
