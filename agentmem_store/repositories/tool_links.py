"""Which agent may call which tool. Part of `tools`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store.inputs import check_uuid
from agentmem_store.repositories.linking import attach_rows, detach_row
from agentmem_store.statements import tool_links as statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.tools import Tool
    from agentmem_store.scope import Scope

__all__ = ["agents", "attach", "attach_many", "by_agent", "detach"]


async def attach(scope: Scope, tool_id: UUID, agent_id: UUID) -> bool:
    """Let an agent call a tool; return True if it could not before. Neither row is changed by it.

    Raises:
        NotFound: the tool or the agent is not visible in this organization; `entity` says which.
    """
    return await attach_rows(scope, statements.ATTACH, "tool", [tool_id], agent_id) == 1


async def attach_many(scope: Scope, tool_ids: Sequence[UUID], agent_id: UUID) -> int:
    """Let an agent call all of the tools, or none of them; return how many it could not call before.

    Raises:
        NotFound: a tool or the agent is not visible in this organization; the message names the item.
    """
    return await attach_rows(scope, statements.ATTACH, "tool", tool_ids, agent_id)


async def detach(scope: Scope, tool_id: UUID, agent_id: UUID) -> bool:
    """Take a tool from an agent; return whether it had it. The link of a deleted tool or agent can go as well."""
    return await detach_row(scope, statements.DETACH, "tool", tool_id, agent_id)


async def by_agent(scope: Scope, agent_id: UUID) -> list[Tool]:
    """Return the tools that an agent may call, by name. A deleted tool is not among them; a deleted agent has none."""
    return await scope.fetch_all(statements.BY_AGENT, check_uuid(agent_id, "agent_id"))


async def agents(scope: Scope, tool_id: UUID) -> list[UUID]:
    """Return the ids of the agents that may call a tool, in the order of their ids. Deleted agents are left out."""
    return await scope.fetch_all(statements.AGENTS, check_uuid(tool_id, "tool_id"))
