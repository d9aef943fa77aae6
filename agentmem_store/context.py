"""An agent's whole context in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store import errors
from agentmem_store.inputs import check_count, check_limit, check_text, check_uuid
from agentmem_store.repositories.seeking import check_sought
from agentmem_store.search_query import candidates, parse
from agentmem_store.statements import context as statements
from agentmem_store.statements import hybrid

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.models.context import Context, ContextRow
    from agentmem_store.models.embeddings import Fusion
    from agentmem_store.query import Query
    from agentmem_store.repositories.seeking import Sought
    from agentmem_store.scope import Scope
    from agentmem_store.vectors import Vector

__all__ = ["assemble"]


async def assemble(
    scope: Scope,
    agent_id: UUID,
    *,
    token_budget: int,
    user_id: UUID | None = None,
    group_id: str | None = None,
    query: str | None = None,
    message_limit: int = 200,
    memory_limit: int = 10,
    embedding: Vector | None = None,
    model: str | None = None,
    fusion: Fusion | None = None,
) -> Context:
    """Return an agent with its blocks and tools, its newest messages within a budget, and the memories a query finds.

    One statement, one round trip, one moment in time.

    A message takes of the budget what it was stored with as `token_count`; without one, a token for every four bytes of
    its text and parts in UTF-8, and four more. Messages are taken from the newest back, until one does not fit.

    Args:
        token_budget: tokens that the messages may take together; 0 for no messages.
        user_id: only messages exchanged with this user, and memories of this user or of none.
        group_id: only messages of this thread.
        query: what to search the agent's memories for, as in `memories.search`; None for no memories.
        message_limit: messages at most, 1 to 1,000.
        memory_limit: memories at most, 1 to 1,000.
        embedding: the query's vector, as in `memories.search`; without a query it finds the memories alone.
        model: the model that made it.
        fusion: what counts how much; by default words and vector, half and half.

    Raises:
        NotFound: no such agent is visible in this organization.
        ValidationError: an argument is out of range.
    """
    check_uuid(agent_id, "agent_id")
    if user_id is not None:
        check_uuid(user_id, "user_id")
    if group_id is not None:
        check_text(group_id, "group_id")
    sought = check_sought(embedding, model, fusion, memory_limit)
    asked = parse(query or "") if query is not None or sought else None
    row = await scope.fetch_optional(
        _statement(sought, user_id, group_id),
        agent_id,
        user_id,
        group_id,
        check_count(token_budget, "token_budget"),
        check_limit(message_limit, "message_limit"),
        None if asked is None else asked.words,
        check_limit(memory_limit, "memory_limit"),
        [] if asked is None else asked.phrases,
        [] if asked is None else asked.excluded,
        candidates(memory_limit, filtered=user_id is not None, by_vector=sought is not None),
        *(() if sought is None else (*sought.args, *sought.counting)),
    )
    if row is None:
        raise errors.NotFound("agent")
    return row.context()


def _statement(sought: Sought | None, user_id: UUID | None, group_id: str | None) -> Query[ContextRow]:
    if sought is None:
        return statements.ASSEMBLE.of(user_id, group_id)
    if group_id is not None:
        return hybrid.CONTEXT_OF_GROUP.of(sought.dimension)
    return (hybrid.CONTEXT if user_id is None else hybrid.CONTEXT_OF_USER).of(sought.dimension)
