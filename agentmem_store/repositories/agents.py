"""Agents: create, read, change, delete; their blocks and tools."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final, overload

from agentmem_store.inputs import check_count, check_text, check_uuid, check_uuids, json_or_none, json_text, uuid_array
from agentmem_store.models.agents import NewAgent
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
from agentmem_store.repositories.reading import Lookup, find_row, found, get_row
from agentmem_store.statements import agents as statements
from agentmem_store.statements import context

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.agents import Agent, AgentChanges
    from agentmem_store.models.context import AgentDetails
    from agentmem_store.query import Query
    from agentmem_store.repositories.creation import Mode
    from agentmem_store.scope import Scope

__all__ = [
    "append_message_ids",
    "count",
    "create",
    "create_many",
    "delete",
    "delete_many",
    "details",
    "find",
    "find_by_name",
    "get",
    "hard_delete",
    "hard_delete_many",
    "list",
    "restore",
    "restore_many",
    "set_message_ids",
    "trim_message_ids",
    "update",
    "update_many",
]


def _columns(new: NewAgent) -> tuple[Any, ...]:
    return (
        new.id,
        new.name,
        new.agent_type,
        new.description,
        new.system,
        new.topic,
        uuid_array(new.message_ids),
        json_text(new.metadata),
        json_or_none(new.llm_config),
        json_or_none(new.embedding_config),
        json_or_none(new.tool_rules),
        json_or_none(new.mcp_tools),
    )


_CREATION: Final = Creation(
    "agent",
    statements.CREATE,
    statements.CREATE_REFUSALS,
    statements.CREATE_STORED,
    _columns,
    new=NewAgent,
    upsert=statements.UPSERT,
)
_LOOKUP: Final = Lookup("agent", statements.GET, statements.GET_MANY)
_CHANGE: Final = Change("agent", statements.UPDATE, statements.GET)


async def create(scope: Scope, new: NewAgent) -> Agent:
    """Create an agent. Sending the same again returns the stored row.

    Raises:
        NotFound: the organization does not exist or is deleted.
        Conflict: the id is stored with other content.
    """
    return await create_row(scope, _CREATION, new)


@overload
async def create_many(scope: Scope, new: Sequence[NewAgent], *, mode: Mode = "strict") -> builtins.list[Agent]: ...
@overload
async def create_many(scope: Scope, new: AsyncIterable[NewAgent], *, mode: Mode = "strict") -> int: ...
async def create_many(
    scope: Scope, new: Sequence[NewAgent] | AsyncIterable[NewAgent], *, mode: Mode = "strict"
) -> builtins.list[Agent] | int:
    """Create all of the agents or none, any number of them, in one transaction.

    Args:
        new: a sequence; or an asynchronous iterable, of which no more than 10,000 are held at a time. That one is
            awaited while the transaction holds a connection, so it should not need another from the same pool.
        mode: what an id means that is stored already. `strict`: the same content returns the row, other content is a
            conflict. `skip`: the row comes back as it stands. `upsert`: the row takes all of the new content, the
            in-context list with it, as a new version, unless it has it already.

    Returns:
        one row per input, in input order; of an asynchronous iterable, the number of its items.

    Raises:
        NotFound: the organization does not exist or is deleted; the message names the item.
        Conflict: an id is stored with other content (`strict`), or with an agent that is deleted (`upsert`); `current`
            is the stored row.
        ValidationError: an item is no `NewAgent`, or an id is given twice; nothing was sent. (An asynchronous iterable
            is checked as it comes, and an id that returns more than 10,000 items later counts as stored.)
    """
    if isinstance(new, AsyncIterable):
        return await create_stream(scope, _CREATION, new, mode)
    return await create_rows(scope, _CREATION, new, mode)


async def get(scope: Scope, agent_id: UUID) -> Agent:
    """Return an agent.

    Raises:
        NotFound: no such agent is visible in this organization.
    """
    return await get_row(scope, _LOOKUP, agent_id)


async def find(scope: Scope, agent_id: UUID) -> Agent | None:
    """Return an agent, or None if no such agent is visible in this organization."""
    return await find_row(scope, _LOOKUP, agent_id)


async def find_by_name(scope: Scope, name: str) -> Agent | None:
    """Return the oldest agent of exactly this name that is visible in this organization, or None.

    Raises:
        ValidationError: the name holds a character that PostgreSQL cannot take.
    """
    return await scope.fetch_optional(statements.OLDEST_BY_NAME, check_text(name, "name"))


async def details(scope: Scope, agent_id: UUID) -> AgentDetails:
    """Return an agent with its blocks and tools, in one statement.

    Raises:
        NotFound: no such agent is visible in this organization.
    """
    row = await scope.fetch_optional(context.DETAILS, check_uuid(agent_id, "agent_id"))
    return found(row, "agent")


async def list(scope: Scope, *, name: str | None = None, limit: int = 50, cursor: str | None = None) -> Page[Agent]:
    """List agents, newest first.

    Args:
        name: only those of exactly this name.
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another list.
    """
    if name is None:
        return await list_page(scope, statements.LIST, limit=limit, cursor=cursor)
    return await list_page(scope, statements.LIST_BY_NAME, check_text(name, "name"), limit=limit, cursor=cursor)


async def count(scope: Scope) -> int:
    """Count the agents that are visible in this organization."""
    return await scope.fetch_one(statements.COUNT)


async def update(scope: Scope, agent_id: UUID, changes: AgentChanges, *, expected_version: int | None = None) -> Agent:
    """Write what is set on `changes`, and return the agent as it then stands.

    Args:
        expected_version: write only if the agent is still at this version.

    Raises:
        NotFound: no such agent is visible in this organization.
        Conflict: it is at another version; `current` is the agent as it stands.
    """
    return await update_row(scope, _CHANGE, Edit(agent_id, changes, expected_version))


async def update_many(scope: Scope, edits: Sequence[Edit[AgentChanges]]) -> builtins.list[Agent]:
    """Make all of the edits or none; return one agent per edit, in their order.

    Raises:
        NotFound: an agent is not visible; the message names the item.
        Conflict: an agent is at another version than expected.
        ValidationError: an id is given twice.
    """
    return await update_rows(scope, _CHANGE, edits)


async def delete(scope: Scope, agent_id: UUID) -> Agent:
    """Delete an agent softly: it and its messages and memories are hidden until `restore`.

    Raises:
        NotFound: no such agent is visible in this organization.
    """
    return await delete_row(scope, statements.DELETE, "agent", agent_id)


async def delete_many(scope: Scope, agent_ids: Sequence[UUID]) -> int:
    """Delete agents softly, all in one statement; return how many were deleted by it.

    Ids that are unknown or deleted already are passed over, so that the same call can be sent again.
    """
    return await count_rows(scope, statements.DELETE, scope.actor_id, check_uuids(agent_ids, "agent_id"))


async def restore(scope: Scope, agent_id: UUID) -> Agent:
    """Undo a soft delete and return the agent; one that is not deleted comes back as it stands.

    Raises:
        NotFound: there is no such agent, or its organization is deleted.
    """
    return await restore_row(scope, statements.RESTORE, statements.GET, "agent", agent_id)


async def restore_many(scope: Scope, agent_ids: Sequence[UUID]) -> int:
    """Undo soft deletes, all in one statement; return how many were restored. Others are passed over."""
    return await count_rows(scope, statements.RESTORE, scope.actor_id, check_uuids(agent_ids, "agent_id"))


async def hard_delete(scope: Scope, agent_id: UUID) -> None:
    """Remove an agent, deleted or not, with its messages, memories and links, for good.

    Raises:
        NotFound: there is no such agent.
    """
    await hard_delete_row(scope, statements.HARD_DELETE, "agent", agent_id)


async def hard_delete_many(scope: Scope, agent_ids: Sequence[UUID]) -> int:
    """Remove agents for good, all in one statement; return how many there were. Unknown ids are passed over."""
    return await count_rows(scope, statements.HARD_DELETE, check_uuids(agent_ids, "agent_id"))


async def append_message_ids(scope: Scope, agent_id: UUID, message_ids: Sequence[UUID]) -> Agent:
    """Add to the end of an agent's in-context list, in one statement. The ids are not checked against messages.

    Raises:
        NotFound: no such agent is visible in this organization.
    """
    return await _change_context(scope, statements.APPEND_MESSAGE_IDS, agent_id, check_uuids(message_ids, "message_id"))


async def set_message_ids(scope: Scope, agent_id: UUID, message_ids: Sequence[UUID]) -> Agent:
    """Replace an agent's in-context list, in one statement. The ids are not checked against messages.

    Raises:
        NotFound: no such agent is visible in this organization.
    """
    return await _change_context(scope, statements.SET_MESSAGE_IDS, agent_id, check_uuids(message_ids, "message_id"))


async def trim_message_ids(scope: Scope, agent_id: UUID, keep: int) -> Agent:
    """Keep only the last `keep` ids of an agent's in-context list, in one statement; 0 empties it.

    Raises:
        NotFound: no such agent is visible in this organization.
    """
    kept = check_count(keep, "keep", most=2**31 - 2)
    return await _change_context(scope, statements.TRIM_MESSAGE_IDS, agent_id, kept)


async def _change_context(scope: Scope, query: Query[Agent], agent_id: UUID, value: object) -> Agent:
    row = await scope.fetch_optional(query, scope.actor_id, check_uuid(agent_id, "agent_id"), value)
    return found(row, "agent")
