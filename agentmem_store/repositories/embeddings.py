"""Embeddings of memories and of messages: storing what a model made of them, for searches by meaning.

The application embeds; here the vectors are kept beside the rows, of any number of models, and vanish with them. They
need the migrations of the track ``vector``. A search takes `embedding` and `model`; see `memories.search`.

To change the model, run `reembed` with the new one: meanwhile searches go on with the old one, or ask for the new one
at once, and what it has not embedded yet is found by its words. In the end `drop` the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args
from uuid import UUID

from agentmem_store import errors
from agentmem_store.embedding_index import create_index, drop_index
from agentmem_store.inputs import check_count, check_distinct, check_limit, check_text, check_uuid, check_uuids
from agentmem_store.models.embeddings import DIMENSIONS, EmbeddingModel, Source
from agentmem_store.progress import Progress
from agentmem_store.repositories.embedding_store import store_vectors
from agentmem_store.statements.embeddings import BY_SOURCE, MODELS
from agentmem_store.vectors import check_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agentmem_store.models.embeddings import Embedder, Unembedded
    from agentmem_store.scope import Scope
    from agentmem_store.statements.embeddings import BySource
    from agentmem_store.vectors import Vectors

__all__ = ["count", "create_index", "delete", "drop", "drop_index", "models", "pending", "reembed", "store"]

_FIRST: Final = UUID(int=0)
_MOST_ROWS: Final = 10_000


async def store(
    scope: Scope,
    source: Source,
    ids: Sequence[UUID],
    vectors: Vectors,
    *,
    model: str,
    versions: Sequence[int] | None = None,
) -> None:
    """Store embeddings, all of them or none; one that a model has of a row already is replaced, unless it is of a newer
    version of the row.

    Args:
        source: what was embedded, `memories` or `messages`.
        ids: of which rows, each once.
        vectors: one for each id, in their order: lists, tuples, arrays or a numpy matrix with a row for each. All of
            one dimension: 256, 384, 512, 768, 1024, 1536, 2048 or 3072. They need not be normalised.
        model: the name by which searches ask for them, at most 255 characters.
        versions: of which version of each row the embedding was made; by default as the rows stand.

    Raises:
        NotFound: one of the rows does not exist or is deleted.
        ValidationError: a vector is empty, of another dimension, all 0, or holds NaN or an infinite number; the problem
            names its place. Or the ids are not as many as the vectors.
    """
    statements = _of(source)
    model = _check_model(model)
    checked = check_vectors(vectors, DIMENSIONS)
    rows = _check_rows(source, ids, versions, len(checked))
    if not rows:
        return
    batch = sorted(zip(rows, checked, strict=True), key=lambda one: one[0][0].int)
    stored = await store_vectors(scope, statements, model, batch)
    if stored < len(batch):
        entity = "memory" if source == "memories" else "message"
        raise errors.NotFound(entity, f"{len(batch) - stored} of the {source} do not exist, or are deleted")


async def delete(scope: Scope, source: Source, ids: Sequence[UUID], *, model: str) -> int:
    """Remove a model's embeddings of some rows; return how many there were. The rows stay.

    Args:
        source: what was embedded, `memories` or `messages`.
        ids: of which rows.
        model: the model's name.
    """
    statements, model = _of(source), _check_model(model)
    rows = check_uuids(ids, "id")
    async with scope.transaction() as tx:
        return sum([await tx.fetch_one(query, model, rows) for query in statements.clear])


async def drop(
    scope: Scope, model: str, *, batch_size: int = 1000, on_progress: Callable[[int, int], None] | None = None
) -> int:
    """Remove all that the organization has of a model, in batches; return how many embeddings were removed.

    It can be stopped anywhere: run again, it goes on with what is left.

    Args:
        model: the model's name.
        batch_size: how many to remove, and so to lock, at a time, 1 to 10,000.
        on_progress: called now and then with the embeddings removed and those to remove.
    """
    model = _check_model(model)
    check_limit(batch_size, "batch_size", most=_MOST_ROWS)
    total = sum([await count(scope, source, model=model) for source in BY_SOURCE]) if on_progress else 0
    progress, removed = Progress(on_progress, total), 0
    for statements in BY_SOURCE.values():
        for query in statements.drop:
            while batch := await scope.fetch_one(query, model, batch_size):
                removed += batch
                progress.add(batch)
    progress.tell()
    return removed


async def count(scope: Scope, source: Source, *, model: str) -> int:
    """Count the embeddings that the organization has of a model.

    Args:
        source: what was embedded, `memories` or `messages`.
        model: the model's name.
    """
    statements, model = _of(source), _check_model(model)
    return sum([await scope.fetch_one(query, model) for query in statements.count])


async def models(scope: Scope) -> list[EmbeddingModel]:
    """Return the models of which the organization has embeddings, by source, name, dimension. Reads a row of each."""
    return await scope.fetch_all(MODELS)


async def pending(scope: Scope, source: Source, *, model: str, dimension: int, agent_id: UUID | None = None) -> int:
    """Count the rows that a model has not embedded, or not as they stand. Reads all rows of the organization.

    Args:
        source: what is embedded, `memories` or `messages`. Messages without a text do not count.
        model: the model's name.
        dimension: how many numbers its vectors have.
        agent_id: only those of this agent.
    """
    query = _of(source).count_due.of(_check_dimension(dimension))
    return await scope.fetch_one(query, _check_model(model), agent_id and check_uuid(agent_id, "agent_id"))


async def reembed(
    scope: Scope,
    embedder: Embedder,
    *,
    sources: Sequence[Source] = ("memories", "messages"),
    agent_id: UUID | None = None,
    batch_size: int = 100,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Embed every row that a model has not embedded, or not as it stands, and return how many were embedded.

    Rows are read, embedded and stored in batches, the oldest first. While the embedder works no connection is held and
    no transaction is open. It can be stopped anywhere, also by a kill: run again, it goes on with what is left. What is
    changed meanwhile is left for the next run. A message is embedded as "name: text", as it is searched by words.

    Args:
        embedder: makes vectors of texts; see `Embedder`.
        sources: what to embed.
        agent_id: only rows of this agent.
        batch_size: texts at a time, 1 to 1,000.
        on_progress: called after each batch with the rows done and the rows to do.

    Raises:
        UsageError: the scope is a transaction, or on a connection of the application's: it would be held meanwhile.
        ValidationError: the embedder gave a vector that cannot be stored, or not one for each text.
    """
    if scope.in_transaction:
        raise errors.UsageError("reembed holds no connection while it embeds: call it with a scope of the database")
    known, model = _check_dimension(embedder.dimension), _check_model(embedder.model)
    check_limit(batch_size, "batch_size")
    total = 0
    if on_progress:
        left = [await pending(scope, one, model=model, dimension=known, agent_id=agent_id) for one in sources]
        total = sum(left)
    progress, done = Progress(on_progress, total, every=1), 0
    for source in sources:
        statements, after = _of(source), _FIRST
        while rows := await scope.fetch_all(statements.due.of(known), model, after, batch_size, agent_id):
            done += await _embed(scope, embedder, statements, rows)
            progress.add(len(rows))
            after = rows[-1].id
    progress.tell()
    return done


async def _embed(scope: Scope, embedder: Embedder, statements: BySource, rows: list[Unembedded]) -> int:
    """Embed a batch and store what came of it; return of how many rows. Those that are gone by now are passed over."""
    vectors = check_vectors(await embedder.embed([row.text for row in rows]), (embedder.dimension,))
    if len(vectors) != len(rows):
        raise errors.ValidationError.of("embedder", f"gave {len(vectors)} vectors for {len(rows)} texts")
    batch = [((row.id, row.version), vector) for row, vector in zip(rows, vectors, strict=True)]
    return await store_vectors(scope, statements, embedder.model, batch)


def _of(source: Source) -> BySource:
    if source not in get_args(Source):
        raise errors.ValidationError.of("source", f"must be {' or '.join(get_args(Source))}")
    return BY_SOURCE[source]


def _check_model(model: object) -> str:
    checked = check_text(model, "model", most=255)
    if not checked:
        raise errors.ValidationError.of("model", "must not be empty")
    return checked


def _check_dimension(dimension: int) -> int:
    if dimension not in DIMENSIONS:
        raise errors.ValidationError.of("dimension", f"must be one of {', '.join(map(str, DIMENSIONS))}")
    return dimension


def _check_rows(
    source: Source, ids: Sequence[UUID], versions: Sequence[int] | None, number: int
) -> list[tuple[UUID, int | None]]:
    """Return the ids with their versions."""
    rows = check_uuids(ids, "memory_id" if source == "memories" else "message_id")
    check_distinct(rows)
    if len(rows) != number:
        raise errors.ValidationError.of("vectors", f"there are {number} for {len(rows)} ids")
    if versions is None:
        return [(row, None) for row in rows]
    if len(versions) != number:
        raise errors.ValidationError.of("versions", f"there are {len(versions)} for {len(rows)} ids")
    return list(zip(rows, _checked_versions(versions), strict=True))


def _checked_versions(versions: Sequence[Any]) -> Iterator[int]:
    return (check_count(version, "version", least=1, most=2**31 - 1) for version in versions)
