"""How embeddings are stored: few as an array of numbers, many by COPY, which takes a tenth of the time."""

from __future__ import annotations

from array import array
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.repositories.copying import HEADER, TRAILER, copy_row
from agentmem_store.statements.embeddings import copy_of
from agentmem_store.vectors import to_binary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from uuid import UUID

    from agentmem_store.models.embeddings import MemoryParent, MessageParent
    from agentmem_store.scope import Scope
    from agentmem_store.statements.embeddings import BySource

    # The row's id, its version when it was embedded (None: as it stands), and the vector.
    Embedded = tuple[tuple[UUID, int | None], array[float]]
    Parent = MemoryParent | MessageParent

__all__ = ["store_vectors"]

_ARRAYS_MOST: Final = 50
_COPIED_AT_ONCE: Final = 500
_HALF_FROM: Final = 2_000  # of half precision above: the server brings numbers to that
_INT: Final = Struct(">i")
_BIGINT: Final = Struct(">q")


async def store_vectors(scope: Scope, statements: BySource, model: str, batch: Sequence[Embedded]) -> int:
    """Store embeddings; return of how many rows. Rows that do not exist or are deleted are passed over.

    Args:
        scope: where; several statements run in a transaction.
        statements: of the source.
        model: the model's name.
        batch: in the order of the ids, all of one dimension.
    """
    if len(batch) <= _ARRAYS_MOST:
        return await _store(scope, statements, model, batch)
    async with scope.transaction() as tx:
        if len(batch[0][1]) <= _HALF_FROM:
            copied = await _copy(tx, statements, model, batch)
            if copied is not None:
                return copied
        return sum([await _store(tx, statements, model, part) for part in _parts(batch, _ARRAYS_MOST)])


async def _store(scope: Scope, statements: BySource, model: str, batch: Sequence[Embedded]) -> int:
    numbers = array("f")
    for _, vector in batch:
        numbers += vector
    ids, versions = zip(*(row for row, _ in batch), strict=True)
    query = statements.store.of(len(batch[0][1]))
    return await scope.fetch_one(query, model, list(ids), list(versions), numbers.tolist())


async def _copy(tx: Scope, statements: BySource, model: str, batch: Sequence[Embedded]) -> int | None:
    """Replace embeddings by COPY; None when somebody stores the same at the same time, or has newer ones."""
    dimension = len(batch[0][1])
    side = statements.sides[dimension]
    ids = [row_id for (row_id, _), _ in batch]
    parents = {parent.id: parent for parent in await tx.fetch_all(statements.parents.of(dimension), ids)}
    living = [one for one in batch if one[0][0] in parents]
    if any(version and version < parents[row_id].version for (row_id, version), _ in living):
        return None
    try:
        async with tx.transaction() as savepoint:
            await savepoint.fetch_one(statements.clear.of(dimension), model, ids)
            data = _data(savepoint, (*side.owner, *side.columns), model, living, parents)
            await savepoint.copy(copy_of(side), data)
    except errors.Conflict:
        return None
    return len(living)


async def _data(
    scope: Scope, columns: Sequence[str], model: str, batch: Sequence[Embedded], parents: dict[UUID, Parent]
) -> AsyncGenerator[bytes, None]:
    yield HEADER
    for part in _parts(batch, _COPIED_AT_ONCE):
        yield b"".join([_row(scope, model, one, parents[one[0][0]], columns) for one in part])
    yield TRAILER


def _row(scope: Scope, model: str, one: Embedded, parent: Parent, columns: Sequence[str]) -> bytes:
    (row_id, version), vector = one
    copied: list[Any] = [getattr(parent, column) for column in columns]
    sent = [_BIGINT.pack(value) if isinstance(value, int) else value for value in copied]
    stamp = _INT.pack(version or parent.version)
    return copy_row((scope.organization_id, row_id, model, stamp, to_binary(vector), *sent))


def _parts(batch: Sequence[Embedded], size: int) -> Iterator[Sequence[Embedded]]:
    return (batch[start : start + size] for start in range(0, len(batch), size))
