"""Which agent shares which block. Part of `blocks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store.inputs import check_uuid
from agentmem_store.repositories.linking import attach_rows, detach_row
from agentmem_store.statements import block_links as statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.blocks import Block
    from agentmem_store.scope import Scope

__all__ = ["agents", "attach", "attach_many", "by_agent", "detach"]


async def attach(scope: Scope, block_id: UUID, agent_id: UUID) -> bool:
    """Let an agent share a block; return True if it did not before. Neither row is changed by it.

    Raises:
        NotFound: the block or the agent is not visible in this organization; `entity` says which.
    """
    return await attach_rows(scope, statements.ATTACH, "block", [block_id], agent_id) == 1


async def attach_many(scope: Scope, block_ids: Sequence[UUID], agent_id: UUID) -> int:
    """Let an agent share all of the blocks, or none of them; return how many it did not share before.

    Raises:
        NotFound: a block or the agent is not visible in this organization; the message names the item.
    """
    return await attach_rows(scope, statements.ATTACH, "block", block_ids, agent_id)


async def detach(scope: Scope, block_id: UUID, agent_id: UUID) -> bool:
    """Take a block from an agent; return whether it shared it. The link of a deleted block or agent can go as well."""
    return await detach_row(scope, statements.DETACH, "block", block_id, agent_id)


async def by_agent(scope: Scope, agent_id: UUID) -> list[Block]:
    """Return an agent's blocks, by label, then by id. A deleted block is not among them; a deleted agent has none."""
    return await scope.fetch_all(statements.BY_AGENT, check_uuid(agent_id, "agent_id"))


async def agents(scope: Scope, block_id: UUID) -> list[UUID]:
    """Return the ids of the agents that share a block, in the order of their ids. Deleted agents are left out."""
    return await scope.fetch_all(statements.AGENTS, check_uuid(block_id, "block_id"))
