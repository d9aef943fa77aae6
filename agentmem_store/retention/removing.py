"""Removing rows batch by batch, and counting them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from agentmem_store.retention.parents import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from agentmem_store.models.retention import Batch
    from agentmem_store.query import Query
    from agentmem_store.retention.parents import Parent
    from agentmem_store.scope import Scope

__all__ = ["MOST_ROWS", "Removal", "table_of"]

# The largest batch: its ids travel in one array, its locks are held in one transaction.
MOST_ROWS: Final = 10_000


def table_of(query: Query[Any]) -> str:
    """Return the table that a query is named after."""
    return query.name.partition(".")[0]


class Removal:
    """The removal of rows of one organization.

    Args:
        scope: the tenant; on the pool, each batch is a transaction of its own.
        batch_size: rows of a batch.
        waits: whether to wait for rows that other transactions hold; else they are left.
        removed: counts the rows by table, also those counted before.
        on_batch: called after each batch that removed something.
    """

    def __init__(
        self,
        scope: Scope,
        batch_size: int,
        *,
        waits: bool,
        removed: Counter[str],
        on_batch: Callable[[], None] | None = None,
    ) -> None:
        self._scope = scope
        self._batch_size = batch_size
        self._waits = waits
        self._removed = removed
        self._on_batch = on_batch

    async def drain(self, query: Query[Batch], *key: Any) -> int:
        """Remove batches until no row is left that is free; return how many were seen that others hold."""
        while True:
            batch = await self._scope.fetch_one(query, *key, self._batch_size)
            if not batch.removed:
                return batch.found
            if batch.term_frequencies:
                self._removed["term_frequencies"] += batch.term_frequencies
            self._count(query, batch.removed)

    async def remove(self, parent: Parent, *key: UUID) -> bool:
        """Remove what hangs on a row, then the row; return whether it is gone.

        Args:
            parent: what kind of row it is.
            key: its id; nothing for the organization of the scope.
        """
        held = await self._remove_children(parent, *key)
        if self._waits:
            return await self._remove_rest(parent, held, *key)
        return not held.total() and not await self.drain(parent.itself, *key)

    async def _remove_children(self, parent: Parent, *key: UUID) -> Counter[str]:
        held: Counter[str] = Counter()
        if parent.blocks:
            for block_id in await self._scope.fetch_all(parent.blocks, *key):
                held["blocks"] += not await self.remove(BLOCK, block_id)
        for query in parent.children:
            held[table_of(query)] += await self.drain(query, *key)
        return held

    async def _remove_rest(self, parent: Parent, held: Counter[str], *key: UUID) -> bool:
        """Remove the row itself. What others held until then goes with it, by the foreign keys."""
        gone = await self._scope.fetch_all(parent.hard_delete, *([row_id] for row_id in key))
        self._removed.update(+held)
        self._count(parent.hard_delete, len(gone))
        return True

    def _count(self, query: Query[Any], rows: int) -> None:
        if rows:
            self._removed[table_of(query)] += rows
            if self._on_batch:
                self._on_batch()
