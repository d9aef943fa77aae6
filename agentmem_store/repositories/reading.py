"""Reading rows by id: alone, or with those that others ask for at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from agentmem_store import errors
from agentmem_store.executor import Kind
from agentmem_store.inputs import check_uuid
from agentmem_store.models.base import Row as BaseRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["Lookup", "find_row", "found", "get_row"]

Row = TypeVar("Row", bound=BaseRow)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Lookup(Generic[Row]):
    """How the visible rows of one table are found by their ids.

    Attributes:
        entity: the table's singular, for errors.
        one: takes $2 an id.
        many: takes $2 ids.
    """

    entity: str
    one: Query[Row]
    many: Query[Row]


def found(row: Found | None, entity: str) -> Found:
    """Return the row.

    Raises:
        NotFound: there is none.
    """
    if row is None:
        raise errors.NotFound(entity)
    return row


async def get_row(scope: Scope, lookup: Lookup[Row], row_id: UUID) -> Row:
    """Return the visible row of that id.

    Raises:
        NotFound: there is none.
    """
    return found(await find_row(scope, lookup, row_id), lookup.entity)


async def find_row(scope: Scope, lookup: Lookup[Row], row_id: UUID) -> Row | None:
    """Return the visible row of that id, or None."""
    check_uuid(row_id, f"{lookup.entity}_id")
    coalescer = scope.coalescer
    if coalescer is None:
        return await scope.fetch_optional(lookup.one, row_id)
    key = (lookup.many.name, scope.organization_id)
    return await coalescer.call(key, lambda: _Reading(scope, lookup), row_id)


class _Reading(Kind["UUID", "Row | None"], Generic[Row]):
    """Each caller gets a model of his own, also where two ask for the same row."""

    def __init__(self, scope: Scope, lookup: Lookup[Row]) -> None:
        self.query = lookup.many
        self._scope = scope
        self._one: Final = lookup.one

    def arguments(self, items: Sequence[UUID]) -> tuple[Any, ...]:
        return self._scope.organization_id, items

    def answers(self, items: Sequence[UUID], records: Sequence[Any]) -> Iterable[Row | None]:
        by_id = {record["id"]: record for record in records}
        return [self.query.decode(by_id[item]) if item in by_id else None for item in items]

    async def alone(self, item: UUID) -> Row | None:
        return await self._scope.fetch_optional(self._one, item)
