"""Users: create, read, change, delete."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final, get_args, overload

from agentmem_store.errors import ValidationError
from agentmem_store.inputs import check_text, check_uuids, json_text
from agentmem_store.models.users import NewUser, Status, User, UserChanges
from agentmem_store.page import Page, list_page
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
from agentmem_store.repositories.creation import Creation, create_row, create_rows, create_stream
from agentmem_store.repositories.reading import Lookup, find_row, get_row
from agentmem_store.statements import users as statements

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.repositories.creation import Mode
    from agentmem_store.scope import Scope

__all__ = [
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
    "restore",
    "restore_many",
    "update",
    "update_many",
]


def _columns(new: NewUser) -> tuple[Any, ...]:
    return (new.id, new.name, new.status, new.timezone, json_text(new.metadata))


_CREATION: Final = Creation(
    "user",
    statements.CREATE,
    statements.CREATE_REFUSALS,
    statements.CREATE_STORED,
    _columns,
    new=NewUser,
    upsert=statements.UPSERT,
)
_LOOKUP: Final = Lookup("user", statements.GET, statements.GET_MANY)
_CHANGE: Final = Change("user", statements.UPDATE, statements.GET)


async def create(scope: Scope, new: NewUser) -> User:
    """Create a user. Sending the same again returns the stored row.

    Raises:
        NotFound: the organization does not exist or is deleted.
        Conflict: the id is stored with other content.
    """
    return await create_row(scope, _CREATION, new)


@overload
async def create_many(scope: Scope, new: Sequence[NewUser], *, mode: Mode = "strict") -> builtins.list[User]: ...
@overload
async def create_many(scope: Scope, new: AsyncIterable[NewUser], *, mode: Mode = "strict") -> int: ...
async def create_many(
    scope: Scope, new: Sequence[NewUser] | AsyncIterable[NewUser], *, mode: Mode = "strict"
) -> builtins.list[User] | int:
    """Create all of the users or none, any number of them, in one transaction.

    Args:
        new: a sequence; or an asynchronous iterable, of which no more than 10,000 are held at a time. That one is
            awaited while the transaction holds a connection, so it should not need another from the same pool.
        mode: what an id means that is stored already. `strict`: the same content returns the row, other content is a
            conflict. `skip`: the row comes back as it stands. `upsert`: the row takes all of the new content as a new
            version, unless it has it already.

    Returns:
        one row per input, in input order; of an asynchronous iterable, the number of its items.

    Raises:
        NotFound: the organization does not exist or is deleted; the message names the item.
        Conflict: an id is stored with other content (`strict`), or with a user that is deleted (`upsert`); `current` is
            the stored row.
        ValidationError: an item is no `NewUser`, or an id is given twice; nothing was sent. (An asynchronous iterable
            is checked as it comes, and an id that returns more than 10,000 items later counts as stored.)
    """
    if isinstance(new, AsyncIterable):
        return await create_stream(scope, _CREATION, new, mode)
    return await create_rows(scope, _CREATION, new, mode)


async def get(scope: Scope, user_id: UUID) -> User:
    """Return a user.

    Raises:
        NotFound: no such user is visible in this organization.
    """
    return await get_row(scope, _LOOKUP, user_id)


async def find(scope: Scope, user_id: UUID) -> User | None:
    """Return a user, or None if no such user is visible in this organization."""
    return await find_row(scope, _LOOKUP, user_id)


async def list(
    scope: Scope,
    *,
    name: str | None = None,
    status: Status | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[User]:
    """List users, newest first.

    Args:
        name: only those of exactly this name.
        status: only those that are active, or inactive.
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: the limit is out of range, the status is unknown, or the cursor is of another list.
    """
    _check_status(status)
    if name is not None:
        filters = (check_text(name, "name"), status)
        return await list_page(scope, statements.LIST_BY_NAME, *filters, limit=limit, cursor=cursor)
    if status is not None:
        return await list_page(scope, statements.LIST_BY_STATUS, status, limit=limit, cursor=cursor)
    return await list_page(scope, statements.LIST, limit=limit, cursor=cursor)


async def count(scope: Scope, *, name: str | None = None, status: Status | None = None) -> int:
    """Count the users that are visible in this organization.

    Args:
        name: only those of exactly this name.
        status: only those that are active, or inactive.

    Raises:
        ValidationError: the status is unknown.
    """
    _check_status(status)
    if name is not None:
        return await scope.fetch_one(statements.COUNT_BY_NAME, check_text(name, "name"), status)
    if status is not None:
        return await scope.fetch_one(statements.COUNT_BY_STATUS, status)
    return await scope.fetch_one(statements.COUNT)


def _check_status(status: object) -> None:
    if status is not None and status not in get_args(Status):
        raise ValidationError.of("status", f"must be one of {', '.join(get_args(Status))}")


async def update(scope: Scope, user_id: UUID, changes: UserChanges, *, expected_version: int | None = None) -> User:
    """Write what is set on `changes`, and return the user as it then stands.

    Args:
        expected_version: write only if the user is still at this version.

    Raises:
        NotFound: no such user is visible in this organization.
        Conflict: it is at another version; `current` is the user as it stands.
    """
    return await update_row(scope, _CHANGE, Edit(user_id, changes, expected_version))


async def update_many(scope: Scope, edits: Sequence[Edit[UserChanges]]) -> builtins.list[User]:
    """Make all of the edits or none; return one user per edit, in their order.

    Raises:
        NotFound: a user is not visible; the message names the item.
        Conflict: a user is at another version than expected.
        ValidationError: an id is given twice.
    """
    return await update_rows(scope, _CHANGE, edits)


async def delete(scope: Scope, user_id: UUID) -> User:
    """Delete a user softly: it and its memories and blocks are hidden until `restore`; its messages stay.

    Raises:
        NotFound: no such user is visible in this organization.
    """
    return await delete_row(scope, statements.DELETE, "user", user_id)


async def delete_many(scope: Scope, user_ids: Sequence[UUID]) -> int:
    """Delete users softly, all in one statement; return how many were deleted by it.

    Ids that are unknown or deleted already are passed over, so that the same call can be sent again.
    """
    return await count_rows(scope, statements.DELETE, scope.actor_id, check_uuids(user_ids, "user_id"))


async def restore(scope: Scope, user_id: UUID) -> User:
    """Undo a soft delete and return the user; one that is not deleted comes back as it stands.

    Raises:
        NotFound: there is no such user, or its organization is deleted.
    """
    return await restore_row(scope, statements.RESTORE, statements.GET, "user", user_id)


async def restore_many(scope: Scope, user_ids: Sequence[UUID]) -> int:
    """Undo soft deletes, all in one statement; return how many were restored. Others are passed over."""
    return await count_rows(scope, statements.RESTORE, scope.actor_id, check_uuids(user_ids, "user_id"))


async def hard_delete(scope: Scope, user_id: UUID) -> None:
    """Remove a user, deleted or not, with its messages, memories and blocks, for good.

    Raises:
        NotFound: there is no such user.
    """
    await hard_delete_row(scope, statements.HARD_DELETE, "user", user_id)


async def hard_delete_many(scope: Scope, user_ids: Sequence[UUID]) -> int:
    """Remove users for good, all in one statement; return how many there were. Unknown ids are passed over."""
    return await count_rows(scope, statements.HARD_DELETE, check_uuids(user_ids, "user_id"))
