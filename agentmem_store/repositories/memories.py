"""Memories: create, read, change, delete. Lists, counts, search and access tracking are in `memory_recall`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final, overload

from agentmem_store import errors
from agentmem_store.inputs import check_count, check_uuid, check_uuids, json_text
from agentmem_store.models.base import constructor
from agentmem_store.models.memories import CopyDefaults, Memory, MemoryChanges, NewMemory, content_hash
from agentmem_store.query import Query
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
from agentmem_store.repositories.copying import Copying, Jsonb
from agentmem_store.repositories.creation import (
    Creation,
    Mode,
    check_items,
    create_row,
    create_rows,
    create_stream,
    stored_again,
)
from agentmem_store.repositories.memory_recall import count, list, most_important, recently_accessed, search, touch
from agentmem_store.repositories.reading import Lookup, find_row, get_row
from agentmem_store.statements import memories as statements

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.scope import Scope

__all__ = [
    "count",
    "create",
    "create_many",
    "create_or_get",
    "delete",
    "delete_many",
    "find",
    "get",
    "hard_delete",
    "hard_delete_many",
    "list",
    "most_important",
    "recently_accessed",
    "restore",
    "restore_many",
    "search",
    "touch",
    "trim",
    "update",
    "update_many",
]

# How often `create_or_get` looks again after it met a copy that another writer was just storing or removing.
_LOOKS: Final = 3

# The columns of a record, and those that the table's own defaults fill in.
_RECORD: Final = (
    *("id", "agent_id", "user_id", "content", "hash", "memory_type", "scope", "level"),
    *("importance", "score", "expires_at", "metadata", "created_at"),
    *("language", "created_by_id", "last_updated_by_id"),
)
_DEFAULTS: Final = {
    "version": 1,
    "access_count": 0,
    "last_accessed": None,
    "is_deleted": False,
    "deleted_at": None,
    "deleted_by_id": None,
}
_NAMES: Final = (*_RECORD, "updated_at", *_DEFAULTS)
_METADATA: Final = _RECORD.index("metadata")


def _columns(new: NewMemory) -> tuple[Any, ...]:
    return (
        new.id,
        new.agent_id,
        new.user_id,
        new.content,
        content_hash(new.content),
        new.memory_type,
        new.scope,
        new.level,
        new.importance,
        new.score,
        new.expires_at,
        Jsonb(json_text(new.metadata)),
        new.created_at,
    )


def _record(new: NewMemory, defaults: CopyDefaults, actor_id: UUID | None) -> tuple[Any, ...]:
    *given, created_at = _columns(new)
    return (*given, created_at or defaults.now, defaults.language, actor_id, actor_id)


_construct: Final = constructor(Memory)


def _row(record: tuple[Any, ...], defaults: CopyDefaults) -> Memory | None:
    # The server writes a number with such an exponent in full, and then it reads as another number.
    if "e+" in record[_METADATA]:
        return None
    return _construct(dict(zip(_NAMES, (*record, defaults.now, *_DEFAULTS.values()), strict=True)))


_CREATION: Final = Creation(
    "memory",
    statements.CREATE,
    statements.CREATE_REFUSALS,
    statements.CREATE_STORED,
    _columns,
    new=NewMemory,
    upsert=statements.UPSERT,
    copying=Copying(
        statement=Query("memories.copy", int, statements.COPY),
        defaults=statements.COPY_DEFAULTS,
        parents=("agent_id", "user_id"),
        record=_record,
        row=_row,
    ),
)
_LOOKUP: Final = Lookup("memory", statements.GET, statements.GET_MANY)
_CHANGE: Final = Change("memory", statements.UPDATE, statements.GET)


async def create(scope: Scope, new: NewMemory) -> Memory:
    """Create a memory. Sending the same again returns the stored row.

    Raises:
        NotFound: the organization, or the agent or user of the memory, does not exist or is deleted.
        Conflict: the id is stored with other content.
    """
    return await create_row(scope, _CREATION, new)


@overload
async def create_many(scope: Scope, new: Sequence[NewMemory], *, mode: Mode = "strict") -> builtins.list[Memory]: ...
@overload
async def create_many(scope: Scope, new: AsyncIterable[NewMemory], *, mode: Mode = "strict") -> int: ...
async def create_many(
    scope: Scope, new: Sequence[NewMemory] | AsyncIterable[NewMemory], *, mode: Mode = "strict"
) -> builtins.list[Memory] | int:
    """Create all of the memories or none, any number of them, in one transaction.

    Counts of words are not written: after some thousands of rows `search.refresh` keeps searches fast.

    Args:
        new: a sequence; or an asynchronous iterable, of which no more than 10,000 are held at a time. That one is
            awaited while the transaction holds a connection, so it should not need another from the same pool.
        mode: what an id means that is stored already. `strict`: the same content returns the row, other content is a
            conflict. `skip`: the row comes back as it stands. `upsert`: the row takes all of the new content as a new
            version, unless it has it already; it keeps its `created_at`, and whether `create_or_get` looks at it.

    Returns:
        one row per input, in input order; of an asynchronous iterable, the number of its items.

    Raises:
        NotFound: the organization, or an agent or user, does not exist or is deleted; the message names the item.
        Conflict: an id is stored with other content (`strict`), or with a memory that is deleted, expired or of another
            agent or user (`upsert`); `current` is the stored row.
        ValidationError: an item is no `NewMemory`, or an id is given twice; nothing was sent. (An asynchronous
            iterable is checked as it comes, and an id that returns more than 10,000 items later counts as stored.)
    """
    if isinstance(new, AsyncIterable):
        return await create_stream(scope, _CREATION, new, mode)
    return await create_rows(scope, _CREATION, new, mode)


async def create_or_get(scope: Scope, new: NewMemory) -> tuple[Memory, bool]:
    """Return the visible memory of the same agent, user and content, or create it; many may try at the same time.

    Only memories that this function created are looked at, whatever else is stored with the same content. One that has
    expired does not count: it is softly deleted to make room.

    Returns:
        the memory, and whether this call created it.

    Raises:
        NotFound: the organization, or the agent or user of the memory, does not exist or is deleted.
        Conflict: the id is stored with other content; or copies came and went too fast to get hold of one, and then it
            is `retryable`.
    """
    check_items(_CREATION, [new])
    values = [[value] for value in _columns(new)]
    for _ in range(_LOOKS):
        found = await scope.fetch_optional(statements.CREATE_OR_GET, *values, scope.actor_id)
        if found:
            return found.memory, found.created
        stored = await stored_again(scope, _CREATION, new)
        if stored:
            return stored, False
    busy = errors.Conflict("copies of this memory come and go while it is being stored: try again")
    busy.outcome = "rolled_back"
    raise busy


async def get(scope: Scope, memory_id: UUID) -> Memory:
    """Return a memory.

    Raises:
        NotFound: no such memory is visible in this organization.
    """
    return await get_row(scope, _LOOKUP, memory_id)


async def find(scope: Scope, memory_id: UUID) -> Memory | None:
    """Return a memory, or None if no such memory is visible in this organization."""
    return await find_row(scope, _LOOKUP, memory_id)


async def update(
    scope: Scope, memory_id: UUID, changes: MemoryChanges, *, expected_version: int | None = None
) -> Memory:
    """Write what is set on `changes`, and return the memory as it then stands.

    Args:
        expected_version: write only if the memory is still at this version.

    Raises:
        NotFound: no such memory is visible in this organization.
        Conflict: it is at another version, and `current` is the memory as it stands; or it was made by `create_or_get`
            and another such memory has the new content.
    """
    return await update_row(scope, _CHANGE, Edit(memory_id, changes, expected_version))


async def update_many(scope: Scope, edits: Sequence[Edit[MemoryChanges]]) -> builtins.list[Memory]:
    """Make all of the edits or none; return one memory per edit, in their order.

    Raises:
        NotFound: a memory is not visible; the message names the item.
        Conflict: a memory is at another version than expected, or its new content is another's, as in `update`.
        ValidationError: an id is given twice.
    """
    return await update_rows(scope, _CHANGE, edits)


async def delete(scope: Scope, memory_id: UUID) -> Memory:
    """Delete a memory softly: it is hidden until `restore`.

    Raises:
        NotFound: no such memory is visible in this organization.
    """
    return await delete_row(scope, statements.DELETE, "memory", memory_id)


async def delete_many(scope: Scope, memory_ids: Sequence[UUID]) -> int:
    """Delete memories softly, all in one statement; return how many were deleted by it.

    Ids that are unknown or hidden already are passed over, so that the same call can be sent again.
    """
    return await count_rows(scope, statements.DELETE_MANY, scope.actor_id, check_uuids(memory_ids, "memory_id"))


async def restore(scope: Scope, memory_id: UUID) -> Memory:
    """Undo a soft delete and return the memory; one that is not deleted comes back as it stands.

    Raises:
        NotFound: there is no such memory, it has expired, or its organization, agent or user is deleted.
        Conflict: it was made by `create_or_get`, which has made another with its content since.
    """
    return await restore_row(scope, statements.RESTORE, statements.GET, "memory", memory_id)


async def restore_many(scope: Scope, memory_ids: Sequence[UUID]) -> int:
    """Undo soft deletes, all in one statement; return how many were restored. Others are passed over.

    Raises:
        Conflict: one cannot be restored, as in `restore`; none is.
    """
    return await count_rows(scope, statements.RESTORE_MANY, scope.actor_id, check_uuids(memory_ids, "memory_id"))


async def hard_delete(scope: Scope, memory_id: UUID) -> None:
    """Remove a memory, hidden or not, for good.

    Raises:
        NotFound: there is no such memory.
    """
    await hard_delete_row(scope, statements.HARD_DELETE, "memory", memory_id)


async def hard_delete_many(scope: Scope, memory_ids: Sequence[UUID]) -> int:
    """Remove memories for good, all in one statement; return how many there were. Unknown ids are passed over."""
    return await count_rows(scope, statements.HARD_DELETE, check_uuids(memory_ids, "memory_id"))


async def trim(scope: Scope, agent_id: UUID, keep: int) -> int:
    """Delete softly all but the most important memories of an agent, in one statement; return how many were deleted.

    Of equally important ones the newest stay, of equally old ones those with the highest id. What others change while
    it runs is ranked as it was when it began.

    Args:
        keep: how many stay; 0 for none.

    Raises:
        ValidationError: `keep` is negative.
    """
    return await scope.fetch_one(
        statements.TRIM, check_uuid(agent_id, "agent_id"), check_count(keep, "keep"), scope.actor_id
    )
