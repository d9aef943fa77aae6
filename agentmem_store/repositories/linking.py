"""Linking rows to an agent: what tools and blocks do alike around their own statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem_store import errors
from agentmem_store.inputs import check_uuid, check_uuids

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.links import Linking
    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["attach_rows", "detach_row"]


async def attach_rows(scope: Scope, query: Query[Linking], entity: str, row_ids: Sequence[UUID], agent_id: UUID) -> int:
    """Link all of the rows to the agent, or none; return how many were not linked before.

    Args:
        query: takes $2 the agent, $3 the rows, $4 the actor.

    Raises:
        NotFound: a row or the agent is not visible; `entity` says which, and the message which item.
    """
    ids = check_uuids(row_ids, f"{entity}_id")
    check_uuid(agent_id, "agent_id")
    if not ids:
        return 0
    done = await scope.fetch_one(query, agent_id, ids, scope.actor_id)
    if done.missing is not None:
        item = f"item {done.missing - 1}: " if len(ids) > 1 else ""
        raise errors.NotFound(entity, f"{item}no such {entity}, or it is deleted")
    if not done.agent_found:
        raise errors.NotFound("agent")
    return done.linked


async def detach_row(scope: Scope, query: Query[Any], entity: str, row_id: UUID, agent_id: UUID) -> bool:
    """Take a link away; return whether there was one.

    Args:
        query: takes $2 the agent and $3 the row, and returns a row for the link that went.
    """
    check_uuid(row_id, f"{entity}_id")
    return await scope.fetch_optional(query, check_uuid(agent_id, "agent_id"), row_id) is not None
