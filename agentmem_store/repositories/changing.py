"""Changing, deleting and restoring rows by id, one or many: what every table does alike around its own statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from uuid import UUID  # noqa: TC003 - a field of a NamedTuple

from agentmem_store import errors
from agentmem_store.inputs import Changes, check_count, check_distinct, check_uuid, check_uuids
from agentmem_store.models.base import Row as BaseRow
from agentmem_store.repositories.reading import found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = [
    "Change",
    "Edit",
    "count_rows",
    "delete_row",
    "hard_delete_row",
    "restore_row",
    "update_row",
    "update_rows",
]

Row = TypeVar("Row", bound=BaseRow)
Changed = TypeVar("Changed", bound=Changes)


@dataclass(frozen=True, slots=True)
class Change(Generic[Row]):
    """How rows of one table are changed.

    Attributes:
        entity: the table's singular, for errors.
        update: takes $2 the actor, $3 ids, $4 expected versions, $5 patches as JSON text.
        get: takes $2 an id, for the row that a conflict shows.
    """

    entity: str
    update: Query[Row]
    get: Query[Row]


class Edit(NamedTuple, Generic[Changed]):
    """One change of a batch: to which row, what, and, if given, only while the row is at this version."""

    id: UUID
    changes: Changed
    expected_version: int | None = None


async def update_row(scope: Scope, change: Change[Row], edit: Edit[Any]) -> Row:
    """Write what is set on the edit's changes, and return the row as it then stands.

    Raises:
        NotFound: no such row is visible.
        Conflict: the row is at another version than expected; `current` is the row as it stands.
    """
    return (await _update(scope, change, [edit]))[0]


async def update_rows(scope: Scope, change: Change[Row], edits: Sequence[Edit[Any]]) -> list[Row]:
    """Make all of the edits or none; return one row per edit, in their order.

    Raises:
        NotFound: a row is not visible; the message names the item.
        Conflict: a row is at another version than expected.
        ValidationError: an id is given twice.
    """
    if not edits:
        return []
    check_distinct([edit.id for edit in edits])
    async with scope.transaction() as tx:
        return await _update(tx, change, edits)


async def _update(scope: Scope, change: Change[Row], edits: Sequence[Edit[Any]]) -> list[Row]:
    ids = check_uuids([edit.id for edit in edits], f"{change.entity}_id")
    versions = [_check_version(edit.expected_version) for edit in edits]
    patches = [edit.changes.patch() for edit in edits]
    rows = await scope.fetch_all(change.update, scope.actor_id, ids, versions, patches)
    by_id = {row.id: row for row in rows}
    for item, edit in enumerate(edits):
        if edit.id not in by_id:
            raise await _not_updated(scope, change, edit, f"item {item}: " if len(edits) > 1 else "")
    return [by_id[row_id] for row_id in ids]


def _check_version(expected: int | None) -> int | None:
    return None if expected is None else check_count(expected, "expected_version", least=1, most=2**31 - 1)


async def _not_updated(scope: Scope, change: Change[Row], edit: Edit[Any], item: str) -> errors.AgentMemError:
    current = await scope.fetch_optional(change.get, edit.id)
    if current is None:
        return errors.NotFound(change.entity, f"{item}no such {change.entity}, or it is deleted")
    return errors.Conflict(
        f"{item}this {change.entity} is at version {current.version}, not {edit.expected_version}: "
        "look at `current` and decide again",
        current=current,
    )


async def delete_row(scope: Scope, query: Query[Row], entity: str, row_id: UUID) -> Row:
    """Delete softly and return the row as it was hidden.

    Args:
        query: takes $2 the actor and $3 ids.

    Raises:
        NotFound: no such row is visible.
    """
    check_uuid(row_id, f"{entity}_id")
    row: Row | None = await scope.fetch_optional(query, scope.actor_id, [row_id])
    return found(row, entity)


async def restore_row(scope: Scope, query: Query[Row], get: Query[Row], entity: str, row_id: UUID) -> Row:
    """Undo a soft delete and return the row; one that is not deleted comes back as it stands.

    Args:
        query: takes $2 the actor and $3 ids.

    Raises:
        NotFound: there is no such row.
        Conflict: its name was taken in the meantime.
    """
    check_uuid(row_id, f"{entity}_id")
    row: Row | None = await scope.fetch_optional(query, scope.actor_id, [row_id])
    if row is None:
        row = await scope.fetch_optional(get, row_id)
    return found(row, entity)


async def count_rows(scope: Scope, query: Query[Any], *args: Any) -> int:
    """Run a statement that returns the rows it touched, and return their number."""
    return len(await scope.fetch_all(query, *args))


async def hard_delete_row(scope: Scope, query: Query[Any], entity: str, row_id: UUID) -> None:
    """Remove a row, deleted or not, and all that hangs on it, for good.

    Args:
        query: takes $2 ids and returns those removed.

    Raises:
        NotFound: there is no such row.
    """
    check_uuid(row_id, f"{entity}_id")
    found(await scope.fetch_optional(query, [row_id]), entity)
