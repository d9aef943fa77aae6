"""Search over an agent's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentmem_store import errors
from agentmem_store.inputs import check_limit, check_text, check_uuid, json_text
from agentmem_store.models.messages import MessageFilter, Neighbours
from agentmem_store.repositories.search_terms import highlights
from agentmem_store.search_query import CANDIDATES, FILTERED_CANDIDATES, parse
from agentmem_store.statements.message_search import SEARCH

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.models.messages import MessageHit
    from agentmem_store.scope import Scope

__all__ = ["search"]

# Of the best: with more of them no result changed (measured). Behind a filter all count, as few may be left.
_WITH_NEIGHBOURS: Final = 200
_EVERYTHING: Final = MessageFilter()
_NEIGHBOURS: Final = Neighbours()


async def search(
    scope: Scope,
    agent_id: UUID,
    query: str,
    *,
    limit: int = 10,
    user_id: UUID | None = None,
    group_id: str | None = None,
    only: MessageFilter = _EVERYTHING,
    neighbours: Neighbours = _NEIGHBOURS,
    highlight: bool = False,
) -> list[MessageHit]:
    """Find messages in which, or beside which, any word of the query occurs, best first; of equal ones the oldest.

    A message's name, its text and the text parts of its content are searched, the first 50,000 characters of them. Each
    word counts by how rare it is; the language's commonest ("the", "is") do not count at all, so a query of such words
    finds nothing. Words that the best have in common count a little. One round trip.

    Args:
        query: words in any language, at most 10,000 characters. A "phrase" must occur, and a -word or a -"phrase"
            must not. Nothing that is typed is an error.
        limit: how many, 1 to 1,000.
        user_id: only messages exchanged with this user.
        group_id: only messages of this thread.
        only: which messages may be found.
        neighbours: how much the messages beside one count for it; `Neighbours(after=0, before=0)` for nothing.
        highlight: whether to say where the words stand; one more round trip.

    Raises:
        ValidationError: an argument is not such.
    """
    _check(only, neighbours)
    words, phrases, excluded = parse(query)
    metadata = None if only.metadata is None else json_text(only.metadata.model_dump())
    filtered = only != _EVERYTHING
    rows = await scope.fetch_all(
        SEARCH,
        check_uuid(agent_id, "agent_id"),
        None if user_id is None else check_uuid(user_id, "user_id"),
        None if group_id is None else check_text(group_id, "group_id"),
        words,
        phrases,
        excluded,
        check_limit(limit),
        CANDIDATES if not filtered and user_id is None and group_id is None else FILTERED_CANDIDATES,
        None if filtered else max(_WITH_NEIGHBOURS, limit),
        neighbours.after,
        neighbours.before,
        neighbours.question,
        only.role,
        only.since,
        only.until,
        metadata,
    )
    hits = [row.hit() for row in rows]
    if not highlight:
        return hits
    spans = await highlights(scope, words, [hit.message.text or "" for hit in hits])
    return [hit.model_copy(update={"highlights": found}) for hit, found in zip(hits, spans, strict=True)]


def _check(only: object, neighbours: object) -> None:
    if not isinstance(only, MessageFilter):
        raise errors.ValidationError.of("only", "must be a MessageFilter")
    if not isinstance(neighbours, Neighbours):
        raise errors.ValidationError.of("neighbours", "must be Neighbours")
