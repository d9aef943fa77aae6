"""Storing a large batch by COPY: one statement, no parameters, at about the speed of the table's own indexes.

The text format and not the binary one: it is the same whatever codecs the application set on its connection, and the
server is the slower side of the two by far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["Copying", "copy_line", "copy_rows"]

_LINES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Copying:
    """How rows of one table are stored by COPY.

    Attributes:
        statement: ``COPY … FROM STDIN``, whose first column is the organization.
        defaults: what the server would fill in; takes $2 ids, then for each of `parents` its distinct ids. Locks the
            parents, and returns no row when one is missing or an id is stored.
        parents: the fields of an item that name what it hangs on.
        record: the columns behind the organization, from an item, those defaults and the actor.
        row: the row that such a record becomes, from the same defaults; None if only the server can tell.
    """

    statement: Query[int]
    defaults: Query[Any]
    parents: tuple[str, ...]
    record: Callable[[Any, Any, UUID | None], tuple[Any, ...]]
    row: Callable[[tuple[Any, ...], Any], Any]


async def copy_rows(scope: Scope, copying: Copying, items: Sequence[Any], *, keep_rows: bool) -> dict[UUID, Any] | None:
    """Store all of the items, or nothing and return None when one of them cannot be stored.

    Args:
        scope: bound to a transaction, which goes on whatever the answer.
        items: in the order in which they are stored.
        keep_rows: whether to make their rows, which is done while the server is at work.

    Returns:
        the rows by id, as far as they are known without a look at the table.
    """
    parents = [sorted({getattr(item, field) for item in items} - {None}) for field in copying.parents]
    defaults = await scope.fetch_optional(copying.defaults, [item.id for item in items], *parents)
    if defaults is None:
        return None
    rows: dict[UUID, Any] = {}
    lines = _lines(scope, copying, items, defaults, rows if keep_rows else None)
    try:
        async with scope.transaction() as savepoint:
            await savepoint.copy(copying.statement, lines)
    except errors.Conflict:
        return None
    return rows


async def _lines(
    scope: Scope, copying: Copying, items: Sequence[Any], defaults: Any, rows: dict[UUID, Any] | None
) -> AsyncGenerator[bytes, None]:
    organization = f"{scope.organization_id}\t"
    for start in range(0, len(items), _LINES_AT_ONCE):
        some = items[start : start + _LINES_AT_ONCE]
        records = [copying.record(item, defaults, scope.actor_id) for item in some]
        yield "".join([organization + copy_line(record) for record in records]).encode()
        if rows is not None:
            made = (copying.row(record, defaults) for record in records)
            rows.update((row.id, row) for row in made if row)


def copy_line(record: Sequence[Any]) -> str:
    """Write one record as a line of COPY's text format."""
    return "\t".join([_WRITERS[type(value)](value) for value in record]) + "\n"


def _null(_: None) -> str:
    return r"\N"


def _text(value: str) -> str:
    return value.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")


class _Writers(dict[type, Callable[[Any], str]]):
    """How a value of each type is written. A subclass, such as the driver's own UUID, is written as its base."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        self[kind] = next(self[base] for base in kind.__mro__[1:] if base in self)
        return self[kind]


_WRITERS: Final = _Writers(
    {
        NoneType: _null,
        UUID: str,
        str: _text,
        float: float.__repr__,
        int: int.__repr__,
        datetime: datetime.isoformat,
    }
)
