"""Finding memories again: lists, counts, search, the most important, the last accessed; and that they were accessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem_store import errors
from agentmem_store.inputs import check_limit, check_text, check_uuid, check_uuids, json_text
from agentmem_store.models.memories import MetadataFilter
from agentmem_store.page import Page, list_page
from agentmem_store.repositories.highlighting import highlight as mark
from agentmem_store.repositories.seeking import check_sought
from agentmem_store.search_query import candidates, parse
from agentmem_store.statements import hybrid, memories, memory_recall

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.embeddings import Fusion
    from agentmem_store.models.memories import Memory, MemoryHit, RankedMemory
    from agentmem_store.query import Query
    from agentmem_store.scope import Scope
    from agentmem_store.vectors import Vector

__all__ = ["count", "list", "most_important", "recently_accessed", "search", "touch"]


async def list(
    scope: Scope,
    *,
    agent_id: UUID | None = None,
    user_id: UUID | None = None,
    memory_type: str | None = None,
    memory_scope: str | None = None,
    level: str | None = None,
    metadata: MetadataFilter | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Memory]:
    """List memories, newest first.

    Args:
        agent_id: only those of this agent.
        user_id: only those about this user.
        memory_type: only those of exactly this type.
        memory_scope: only those of exactly this scope.
        level: only those of exactly this level.
        metadata: only those whose metadata matches.
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before, with the same filters.

    Raises:
        ValidationError: the limit is out of range, a filter cannot be stored, or the cursor is of another list.
    """
    filters = _filters(memory_type, memory_scope, level, metadata)
    agent_id, user_id = _whose(agent_id, user_id)
    if user_id:
        args = (*filters, user_id, agent_id)
        return await list_page(scope, memory_recall.LIST_BY_USER, *args, limit=limit, cursor=cursor)
    if agent_id:
        return await list_page(scope, memory_recall.LIST_BY_AGENT, *filters, agent_id, limit=limit, cursor=cursor)
    return await list_page(scope, memory_recall.LIST, *filters, limit=limit, cursor=cursor)


async def count(scope: Scope, *, agent_id: UUID | None = None, user_id: UUID | None = None) -> int:
    """Count the memories that are visible in this organization.

    Args:
        agent_id: only those of this agent.
        user_id: only those about this user.
    """
    agent_id, user_id = _whose(agent_id, user_id)
    if user_id:
        return await scope.fetch_one(memory_recall.COUNT_BY_USER, user_id, agent_id)
    if agent_id:
        return await scope.fetch_one(memory_recall.COUNT_BY_AGENT, agent_id)
    return await scope.fetch_one(memory_recall.COUNT)


async def search(
    scope: Scope,
    query: str,
    *,
    agent_id: UUID | None = None,
    user_id: UUID | None = None,
    memory_type: str | None = None,
    memory_scope: str | None = None,
    level: str | None = None,
    metadata: MetadataFilter | None = None,
    limit: int = 10,
    embedding: Vector | None = None,
    model: str | None = None,
    fusion: Fusion | None = None,
    highlight: bool = False,
) -> builtins.list[MemoryHit]:
    """Find memories in which any word of the query occurs, best first; of equally good ones the oldest first.

    Each word counts by how rare it is; the language's commonest ("the", "is") do not count at all, so a query of such
    words finds nothing; those of a label before the first colon ("Ada: ...") count double. The first 50,000 characters
    of a content are searched. One round trip.

    Args:
        query: words in any language, at most 10,000 characters. A "phrase" must occur, and a -word or a -"phrase"
            must not. Nothing that is typed is an error.
        agent_id: only memories of this agent.
        user_id: only memories about this user.
        memory_type: only memories of exactly this type.
        memory_scope: only memories of exactly this scope.
        level: only memories of exactly this level.
        metadata: only memories whose metadata matches.
        limit: how many, 1 to 1,000.
        embedding: the query's vector, by which rows are found as well whatever their words; see `Fusion`. The query may
            then be empty.
        model: the model that made it; rows which that model has not embedded are found by their words only.
        fusion: what counts how much; by default words and vector, half and half.
        highlight: whether to say where the words stand; one more round trip.

    Raises:
        ValidationError: the query, the limit or a filter is not such.
    """
    words, phrases, excluded = parse(query)
    filters = _filters(memory_type, memory_scope, level, metadata)
    whose = _whose(agent_id, user_id)
    sought = check_sought(embedding, model, fusion, limit)
    filtered = (whose[1], *filters) != (None,) * 5
    enough = candidates(check_limit(limit), filtered=filtered, by_vector=sought is not None)
    args = (limit, *whose, *filters, words, phrases, excluded, enough)
    if sought:
        rows = await scope.fetch_all(_hybrid(*whose, sought.dimension), *args, *sought.args, *sought.counting)
    else:
        rows = await scope.fetch_all(memory_recall.SEARCH, *args)
    hits = [row.hit() for row in rows]
    if not highlight:
        return hits
    marked = await mark(scope, words, [{"content": hit.memory.content} for hit in hits])
    return [hit.model_copy(update={"highlights": spans}) for hit, spans in zip(hits, marked, strict=True)]


async def most_important(scope: Scope, agent_id: UUID, *, limit: int = 10) -> builtins.list[Memory]:
    """Return the most important memories of an agent; of equally important ones the newest first.

    Args:
        limit: how many, 1 to 1,000.
    """
    args = (check_uuid(agent_id, "agent_id"), check_limit(limit))
    return await scope.fetch_all(memory_recall.MOST_IMPORTANT, *args)


async def recently_accessed(scope: Scope, agent_id: UUID, *, limit: int = 10) -> builtins.list[Memory]:
    """Return those memories of an agent that `touch` was told of, the last accessed first. Reads all of its memories.

    Args:
        limit: how many, 1 to 1,000.
    """
    args = (check_uuid(agent_id, "agent_id"), check_limit(limit))
    return await scope.fetch_all(memory_recall.RECENTLY_ACCESSED, *args)


async def touch(scope: Scope, memory_ids: Sequence[UUID]) -> int:
    """Take note that memories were accessed, in one statement; return how many there were.

    Each counts once, however often it is given. Their `version` and `updated_at` stay as they are. Ids that are not
    visible in this organization are passed over.
    """
    return await scope.fetch_one(memories.TOUCH, check_uuids(memory_ids, "memory_id"))


def _hybrid(agent_id: UUID | None, user_id: UUID | None, dimension: int) -> Query[RankedMemory]:
    """Return the statement whose index serves these filters."""
    if agent_id is not None:
        return hybrid.MEMORIES_OF_AGENT.of(dimension)
    return (hybrid.MEMORIES_OF_ALL if user_id is None else hybrid.MEMORIES_OF_USER).of(dimension)


def _whose(agent_id: UUID | None, user_id: UUID | None) -> tuple[UUID | None, UUID | None]:
    return (
        None if agent_id is None else check_uuid(agent_id, "agent_id"),
        None if user_id is None else check_uuid(user_id, "user_id"),
    )


def _filters(
    memory_type: str | None, memory_scope: str | None, level: str | None, metadata: MetadataFilter | None
) -> tuple[Any, ...]:
    """Check the filters that lists and search have in common, in the order in which the statements take them."""
    texts = {"memory_type": memory_type, "memory_scope": memory_scope, "level": level}
    checked = (None if text is None else check_text(text, field) for field, text in texts.items())
    return (*checked, _metadata_json(metadata))


def _metadata_json(metadata: object) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, MetadataFilter):
        raise errors.ValidationError.of("metadata", "must be a MetadataFilter")
    return json_text(metadata.model_dump())
