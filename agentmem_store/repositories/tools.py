"""Tools: create, read, change, delete; by name and by tag. Their links to agents are in `tool_links`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from agentmem_store import errors
from agentmem_store.inputs import check_distinct, check_text, check_uuids, json_or_none, json_text
from agentmem_store.models.tools import NewTool
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
from agentmem_store.repositories.creation import (
    NAME_TAKEN,
    Creation,
    arrays,
    check_items,
    create_row,
    create_rows,
    create_stream,
)
from agentmem_store.repositories.reading import Lookup, find_row, found, get_row
from agentmem_store.repositories.tool_links import agents, attach, attach_many, by_agent, detach
from agentmem_store.statements import tools as statements

if TYPE_CHECKING:
    import builtins
    from collections.abc import Generator, Sequence
    from uuid import UUID

    from agentmem_store.models.tools import Tool, ToolChanges
    from agentmem_store.repositories.creation import Mode
    from agentmem_store.scope import Scope

__all__ = [
    "agents",
    "attach",
    "attach_many",
    "by_agent",
    "by_tags",
    "count",
    "create",
    "create_many",
    "delete",
    "delete_many",
    "detach",
    "find",
    "find_by_name",
    "get",
    "get_by_name",
    "hard_delete",
    "hard_delete_many",
    "list",
    "restore",
    "restore_many",
    "update",
    "update_many",
    "upsert",
    "upsert_many",
]

_MAX_TAGS: Final = 1000
_ID_TAKEN: Final = "an id is stored under another name, or deleted: give the tool a new id"


def _columns(new: NewTool) -> tuple[Any, ...]:
    return (
        new.id,
        new.name,
        new.description,
        json_or_none(new.json_schema),
        new.source_type,
        new.source_code,
        json_text(new.tags),
        json_text(new.metadata),
    )


_CREATION: Final = Creation(
    "tool",
    statements.CREATE,
    statements.CREATE_REFUSALS,
    statements.CREATE_STORED,
    _columns,
    new=NewTool,
    upsert=statements.UPSERT_BY_ID,
    order=attrgetter("name"),
    two_keys=True,
)
_LOOKUP: Final = Lookup("tool", statements.GET, statements.GET_MANY)
_CHANGE: Final = Change("tool", statements.UPDATE, statements.GET)


@contextmanager
def _says_that_a_name_is_taken() -> Generator[None]:
    """Say in our words what the server's unique violation means, where only the name's key can be violated."""
    try:
        yield
    except errors.Conflict as error:
        if error.sqlstate is None:
            raise
        conflict = errors.Conflict(NAME_TAKEN, constraint="tools_name_key")
        conflict.outcome = error.outcome
        raise conflict from error


async def create(scope: Scope, new: NewTool) -> Tool:
    """Create a tool. Sending the same again returns the stored row.

    Raises:
        NotFound: the organization does not exist or is deleted.
        Conflict: the id is stored with other content, or a living tool has this name; then `constraint` is
            tools_name_key.
    """
    return await create_row(scope, _CREATION, new)


@overload
async def create_many(scope: Scope, new: Sequence[NewTool], *, mode: Mode = "strict") -> builtins.list[Tool]: ...
@overload
async def create_many(scope: Scope, new: AsyncIterable[NewTool], *, mode: Mode = "strict") -> int: ...
async def create_many(
    scope: Scope, new: Sequence[NewTool] | AsyncIterable[NewTool], *, mode: Mode = "strict"
) -> builtins.list[Tool] | int:
    """Create all of the tools or none, any number of them, in one transaction.

    Args:
        new: a sequence; or an asynchronous iterable, of which no more than 10,000 are held at a time. That one is
            awaited while the transaction holds a connection, so it should not need another from the same pool.
        mode: what an id means that is stored already. `strict`: the same content returns the row, other content is a
            conflict. `skip`: the row comes back as it stands. `upsert`: the row takes all of the new content, its name
            too, as a new version, unless it has it already. (`upsert_many` finds the tools by their names.)

    Returns:
        one row per input, in input order; of an asynchronous iterable, the number of its items.

    Raises:
        NotFound: the organization does not exist or is deleted; the message names the item.
        Conflict: an id is stored with other content (`strict`), or with a tool that is deleted (`upsert`): `current` is
            the stored row; or a name is another living tool's, if only until this batch renames it, and then
            `constraint` is tools_name_key.
        ValidationError: an item is no `NewTool`, or an id or a name is given twice; nothing was sent. (An asynchronous
            iterable is checked as it comes; in it, a name that returns, or an id that does so more than 10,000 items
            later, counts as stored.)
    """
    with _says_that_a_name_is_taken():
        if isinstance(new, AsyncIterable):
            return await create_stream(scope, _CREATION, new, mode)
        check_items(_CREATION, new)
        check_distinct((tool.name for tool in new), "name")
        return await create_rows(scope, _CREATION, new, mode)


async def upsert(scope: Scope, new: NewTool) -> Tool:
    """Create a tool, or rewrite the living tool of this name, which keeps its id; return it. Each call is a version.

    Raises:
        NotFound: the organization does not exist or is deleted.
        Conflict: the id is stored under another name, or deleted.
    """
    return (await upsert_many(scope, [new]))[0]


async def upsert_many(scope: Scope, new: Sequence[NewTool]) -> builtins.list[Tool]:
    """Do as `upsert` with all of the tools or none; return one row per input, in input order.

    Raises:
        NotFound: the organization does not exist or is deleted.
        Conflict: an id is stored under another name, or deleted.
        ValidationError: an id or a name is given twice.
    """
    check_items(_CREATION, new)
    check_distinct((tool.name for tool in new), "name")
    if len(new) > 1:
        async with scope.transaction() as tx:
            rows = await _upsert(tx, new)
    else:
        rows = await _upsert(scope, new)
    return [rows[tool.name] for tool in new]


async def _upsert(scope: Scope, new: Sequence[NewTool]) -> dict[str, Tool]:
    rows: dict[str, Tool] = {}
    for query in (statements.CREATE, statements.UPSERT):
        rest = [tool for tool in new if tool.name not in rows]
        if rest:
            rows |= {row.name: row for row in await scope.fetch_all(query, *arrays(_CREATION, rest), scope.actor_id)}
    rest = [tool for tool in new if tool.name not in rows]
    if rest:
        refusals = await scope.fetch_all(statements.CREATE_REFUSALS, *arrays(_CREATION, rest))
        if any(refusal.missing for refusal in refusals):
            raise errors.NotFound("organization")
        raise errors.Conflict(_ID_TAKEN, constraint="tools_pkey")
    return rows


async def get(scope: Scope, tool_id: UUID) -> Tool:
    """Return a tool.

    Raises:
        NotFound: no such tool is visible in this organization.
    """
    return await get_row(scope, _LOOKUP, tool_id)


async def find(scope: Scope, tool_id: UUID) -> Tool | None:
    """Return a tool, or None if no such tool is visible in this organization."""
    return await find_row(scope, _LOOKUP, tool_id)


async def get_by_name(scope: Scope, name: str) -> Tool:
    """Return the living tool of this name.

    Raises:
        NotFound: none is visible in this organization.
    """
    return found(await find_by_name(scope, name), "tool")


async def find_by_name(scope: Scope, name: str) -> Tool | None:
    """Return the living tool of this name, or None if none is visible in this organization."""
    return await scope.fetch_optional(statements.GET_BY_NAME, check_text(name, "name"))


async def list(scope: Scope, *, limit: int = 50, cursor: str | None = None) -> Page[Tool]:
    """List tools, newest first.

    Args:
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another list.
    """
    return await list_page(scope, statements.LIST, limit=limit, cursor=cursor)


async def by_tags(
    scope: Scope,
    tags: Sequence[str],
    *,
    match: Literal["all", "any"] = "all",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Tool]:
    """List the tools that have the tags, newest first.

    Args:
        tags: 1 to 1,000 of them.
        match: whether a tool must have all of the tags, or any.
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: there is no tag, `match` or the limit is out of range, or the cursor is of another list.
    """
    wanted = _check_tags(tags)
    if match == "all":
        return await list_page(scope, statements.BY_ALL_TAGS, json_text(wanted), limit=limit, cursor=cursor)
    if match == "any":
        return await list_page(scope, statements.BY_ANY_TAG, wanted, limit=limit, cursor=cursor)
    raise errors.ValidationError.of("match", "must be all or any")


def _check_tags(tags: Sequence[str]) -> builtins.list[str]:
    # A string is a sequence of strings too, and would be searched for by its letters.
    wanted = [] if isinstance(tags, str) else [check_text(tag, "tags") for tag in tags]
    if not 1 <= len(wanted) <= _MAX_TAGS:
        raise errors.ValidationError.of("tags", f"must be a list of 1 to {_MAX_TAGS} strings")
    return wanted


async def count(scope: Scope) -> int:
    """Count the tools that are visible in this organization."""
    return await scope.fetch_one(statements.COUNT)


async def update(scope: Scope, tool_id: UUID, changes: ToolChanges, *, expected_version: int | None = None) -> Tool:
    """Write what is set on `changes`, and return the tool as it then stands.

    Args:
        expected_version: write only if the tool is still at this version.

    Raises:
        NotFound: no such tool is visible in this organization.
        Conflict: it is at another version, and `current` is the tool as it stands; or its new name is taken, and
            `constraint` is tools_name_key.
    """
    with _says_that_a_name_is_taken():
        return await update_row(scope, _CHANGE, Edit(tool_id, changes, expected_version))


async def update_many(scope: Scope, edits: Sequence[Edit[ToolChanges]]) -> builtins.list[Tool]:
    """Make all of the edits or none; return one tool per edit, in their order.

    Raises:
        NotFound: a tool is not visible; the message names the item.
        Conflict: a tool is at another version than expected, or a new name is taken, if only by another edit's tool.
        ValidationError: an id is given twice.
    """
    with _says_that_a_name_is_taken():
        return await update_rows(scope, _CHANGE, edits)


async def delete(scope: Scope, tool_id: UUID) -> Tool:
    """Delete a tool softly: it is hidden until `restore`, its links stay, and its name is free.

    Raises:
        NotFound: no such tool is visible in this organization.
    """
    return await delete_row(scope, statements.DELETE, "tool", tool_id)


async def delete_many(scope: Scope, tool_ids: Sequence[UUID]) -> int:
    """Delete tools softly, all in one statement; return how many were deleted by it.

    Ids that are unknown or deleted already are passed over, so that the same call can be sent again.
    """
    return await count_rows(scope, statements.DELETE, scope.actor_id, check_uuids(tool_ids, "tool_id"))


async def restore(scope: Scope, tool_id: UUID) -> Tool:
    """Undo a soft delete and return the tool; one that is not deleted comes back as it stands.

    Raises:
        NotFound: there is no such tool, or its organization is deleted.
        Conflict: another tool took its name in the meantime; `constraint` is tools_name_key.
    """
    with _says_that_a_name_is_taken():
        return await restore_row(scope, statements.RESTORE, statements.GET, "tool", tool_id)


async def restore_many(scope: Scope, tool_ids: Sequence[UUID]) -> int:
    """Undo soft deletes, all in one statement; return how many were restored. Others are passed over.

    Raises:
        Conflict: the name of one was taken in the meantime; none is restored.
    """
    with _says_that_a_name_is_taken():
        return await count_rows(scope, statements.RESTORE, scope.actor_id, check_uuids(tool_ids, "tool_id"))


async def hard_delete(scope: Scope, tool_id: UUID) -> None:
    """Remove a tool, deleted or not, with its links, for good.

    Raises:
        NotFound: there is no such tool.
    """
    await hard_delete_row(scope, statements.HARD_DELETE, "tool", tool_id)


async def hard_delete_many(scope: Scope, tool_ids: Sequence[UUID]) -> int:
    """Remove tools for good, all in one statement; return how many there were. Unknown ids are passed over."""
    return await count_rows(scope, statements.HARD_DELETE, check_uuids(tool_ids, "tool_id"))
