"""Search over an agent's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.inputs import check_count, check_limit, check_text, check_uuid, json_text
from agentmem_store.models.messages import MessageFilter, Neighbours
from agentmem_store.repositories.highlighting import highlight as mark
from agentmem_store.repositories.seeking import check_sought
from agentmem_store.search_query import CANDIDATES, FILTERED_CANDIDATES, parse
from agentmem_store.statements import hybrid
from agentmem_store.statements.message_search import SEARCH
from agentmem_store.statements.surrounding import SURROUNDING

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.models.embeddings import Fusion
    from agentmem_store.models.messages import MessageHit, RankedMessage
    from agentmem_store.query import Query
    from agentmem_store.repositories.seeking import Sought
    from agentmem_store.scope import Scope
    from agentmem_store.vectors import Vector

__all__ = ["search"]

# Of the best: with more of them no result changed (measured). Behind a filter all count, as few may be left.
_WITH_NEIGHBOURS: Final = 200
_SURROUNDING: Final = 10
# Constructed, not checked: importing this would build the validators.
_EVERYTHING: Final = MessageFilter.model_construct()
_NEIGHBOURS: Final = Neighbours.model_construct()
# A vector knows more of what surrounds a subject than words do, so less is taken from beside (measured).
_HYBRID_NEIGHBOURS: Final = Neighbours.model_construct(after=0.3, before=0.2)


async def search(
    scope: Scope,
    agent_id: UUID,
    query: str,
    *,
    limit: int = 10,
    user_id: UUID | None = None,
    group_id: str | None = None,
    only: MessageFilter = _EVERYTHING,
    neighbours: Neighbours | None = None,
    embedding: Vector | None = None,
    model: str | None = None,
    fusion: Fusion | None = None,
    surrounding: int = 0,
    highlight: bool = False,
) -> list[MessageHit]:
    """Find messages in which, or beside which, any word of the query occurs, best first; of equal ones the oldest.

    A message's name, its text and the text parts of its content are searched, the first 50,000 characters of them. Each
    word counts by how rare it is, and double in the name; the language's commonest ("the", "is") do not count at all,
    so a query of such words finds nothing. One round trip.

    Args:
        query: words in any language, at most 10,000 characters. A "phrase" must occur, and a -word or a -"phrase"
            must not. Nothing that is typed is an error.
        limit: how many, 1 to 1,000.
        user_id: only messages exchanged with this user.
        group_id: only messages of this thread.
        only: which messages may be found.
        neighbours: how much the messages beside one count for it, by default a little less with an embedding;
            `Neighbours(after=0, before=0)` for nothing.
        embedding: the query's vector, by which rows are found as well whatever their words; see `Fusion`. The query may
            then be empty.
        model: the model that made it; rows which that model has not embedded are found by their words only.
        fusion: what counts how much; by default words and vector, half and half.
        surrounding: how many messages before and after each to bring along, 0 to 10; if any, one more round trip.
        highlight: whether to say where the words stand; one more round trip.

    Raises:
        ValidationError: an argument is not such.
    """
    sought = check_sought(embedding, model, fusion, limit)
    if neighbours is None:
        neighbours = _HYBRID_NEIGHBOURS if sought else _NEIGHBOURS
    _check(only, neighbours)
    check_count(surrounding, "surrounding", most=_SURROUNDING)
    words, phrases, excluded = parse(query)
    metadata = None if only.metadata is None else json_text(only.metadata.model_dump())
    filtered = only != _EVERYTHING
    rows = await scope.fetch_all(
        _statement(sought, user_id, group_id),
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
        *_seeking(sought),
    )
    hits = [row.hit() for row in rows]
    if surrounding:
        hits = await _surrounded(scope, hits, surrounding)
    if highlight:
        marked = await mark(scope, words, [hit.message.searched() for hit in hits])
        hits = [hit.model_copy(update={"highlights": spans}) for hit, spans in zip(hits, marked, strict=True)]
    return hits


async def _surrounded(scope: Scope, hits: list[MessageHit], number: int) -> list[MessageHit]:
    turns = await scope.fetch_all(SURROUNDING, [hit.message.id for hit in hits], number)
    found = {row.id: {"before": row.before, "after": row.after} for row in turns}
    return [hit.model_copy(update=found.get(hit.message.id)) for hit in hits]


def _statement(sought: Sought | None, user_id: UUID | None, group_id: str | None) -> Query[RankedMessage]:
    if sought is None:
        return SEARCH
    if group_id is not None:
        return hybrid.MESSAGES_OF_GROUP.of(sought.dimension)
    return (hybrid.MESSAGES_OF_ALL if user_id is None else hybrid.MESSAGES_OF_USER).of(sought.dimension)


def _seeking(sought: Sought | None) -> tuple[Any, ...]:
    if sought is None:
        return ()
    return (*sought.args, sought.fusion.vector, sought.fusion.recency, sought.fusion.half_life_days)


def _check(only: object, neighbours: object) -> None:
    if not isinstance(only, MessageFilter):
        raise errors.ValidationError.of("only", "must be a MessageFilter")
    if not isinstance(neighbours, Neighbours):
        raise errors.ValidationError.of("neighbours", "must be Neighbours")
