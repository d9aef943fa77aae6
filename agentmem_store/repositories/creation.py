"""Creating rows, one or many, so that the same call can be sent again.

- An id that is new is inserted.
- An id that is stored with the same content, or has changed since it was created, comes back as it stands.
- An id that is stored with other content, or a parent that is not there, refuses the whole batch.

The insert leaves out ids that are stored (ON CONFLICT DO NOTHING, which also waits for a copy racing this one) and
returns what it stored. Only when that is less than what was given, a second statement says why: the server compares on
the stored types, while the row is at version 1. So the usual case costs one statement with no look-up by id, whose plan
could go wrong on a table that was empty when it was planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentmem_store import errors
from agentmem_store.inputs import Input, check_distinct
from agentmem_store.models.base import Refusal
from agentmem_store.models.base import Row as BaseRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["Creation", "create_rows"]

Row = TypeVar("Row", bound=BaseRow)
New = TypeVar("New", bound=Input)


@dataclass(frozen=True, slots=True)
class Creation(Generic[New, Row]):
    """How rows of one table are created.

    Attributes:
        entity: the table's singular, for errors.
        insert: takes one array per column from $2 on, and the actor last; returns what it inserted, in no order.
        refusals: takes the same arrays and returns why the batch is refused.
        stored: takes $2 ids and returns their rows, hidden or not.
        columns: an item's values in the order of the arrays; the first is its id.
    """

    entity: str
    insert: Query[Row]
    refusals: Query[Refusal]
    stored: Query[Row]
    columns: Callable[[New], tuple[Any, ...]]


async def create_rows(scope: Scope, creation: Creation[New, Row], new: Sequence[New]) -> list[Row]:
    """Create all items or none; return one row per item, in the order of the items.

    Raises:
        NotFound: a parent is not there; the message names the item.
        Conflict: an id is stored with other content, or a unique name is taken.
        ValidationError: an id is given twice.
    """
    if not new:
        return []
    values = [creation.columns(item) for item in new]
    check_distinct([value[0] for value in values])
    arrays = [list(column) for column in zip(*values, strict=True)]
    if len(new) == 1:
        return await _create(scope, creation, arrays)
    async with scope.transaction() as tx:
        return await _create(tx, creation, arrays)


async def _create(scope: Scope, creation: Creation[New, Row], arrays: list[list[Any]]) -> list[Row]:
    ids: list[UUID] = arrays[0]
    rows = {row.id: row for row in await scope.fetch_all(creation.insert, *arrays, scope.actor_id)}
    if len(rows) < len(ids):
        await _refuse(scope, creation, arrays)
        rest = [row_id for row_id in ids if row_id not in rows]
        rows.update((row.id, row) for row in await scope.fetch_all(creation.stored, rest))
    if len(rows) < len(ids):
        raise errors.Conflict(f"a {creation.entity} was removed while it was being sent again; look and decide again")
    return [rows[row_id] for row_id in ids]


async def _refuse(scope: Scope, creation: Creation[New, Row], arrays: list[list[Any]]) -> None:
    """Raise why the batch cannot be created, if there is a reason; say which item when there are several."""
    found = sorted(await scope.fetch_all(creation.refusals, *arrays), key=lambda refusal: refusal.place)
    if not found:
        return
    first, ids = found[0], arrays[0]
    item = f"item {first.place - 1}: " if len(ids) > 1 else ""
    if first.missing:
        raise errors.NotFound(first.missing, f"{item}no such {first.missing}, or it is deleted")
    stored = await scope.fetch_optional(creation.stored, [ids[first.place - 1]])
    raise errors.Conflict(f"{item}this {creation.entity} is stored with other content", current=stored)
