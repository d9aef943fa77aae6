"""What searches know of words: how common they are to an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentmem_store.inputs import check_uuid
from agentmem_store.repositories.reading import found
from agentmem_store.statements import search_terms as statements

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.scope import Scope

__all__ = ["LARGE", "refresh", "refresh_visible"]

_SAMPLE: Final = 20_000  # rows whose words are counted; the others are taken to be alike
_COMMON: Final = 100  # rows from which on a word is worth remembering
LARGE: Final = 3_000  # rows from which on an agent is


async def refresh(scope: Scope, agent_id: UUID) -> int:
    """Count anew which words are common in an agent's messages and memories; return how many are.

    Searches of an agent with many rows are faster for it; what they find hardly depends on it. Worth doing after a bulk
    load, which does not do it by itself, and now and then. Reads at most 20,000 rows of each kind and counts the others
    by an index; writes one row for each common word, none for a kind of which the agent has fewer than 3,000 rows.
    One transaction, beside which others go on reading and writing.

    Raises:
        NotFound: no such agent is visible in this organization.
    """
    return found(await refresh_visible(scope, check_uuid(agent_id, "agent_id")), "agent")


async def refresh_visible(scope: Scope, agent_id: UUID) -> int | None:
    """Do as `refresh`; return None if the agent is not visible."""

    async def count(tx: Scope) -> int | None:
        if await tx.fetch_optional(statements.LOCK, agent_id) is None:
            return None
        messages = await tx.fetch_one(statements.REFRESH_MESSAGES, agent_id, _SAMPLE, _COMMON, LARGE)
        return messages + await tx.fetch_one(statements.REFRESH_MEMORIES, agent_id, _SAMPLE, _COMMON, LARGE)

    return await scope.run(count)
