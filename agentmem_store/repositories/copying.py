"""Storing a large batch by COPY: one statement, no parameters, at about the speed of the table's own indexes.

The binary format, written here and not by the driver: the driver's goes through the codecs of the connection, which an
application may have set. (The text format costs twice the time on this side, and a little more on the server's.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct
from types import NoneType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["HEADER", "TRAILER", "Copying", "Jsonb", "copy_row", "copy_rows"]

_ROWS_AT_ONCE: Final = 500


class Jsonb(str):
    """A JSON text for a column of type jsonb."""

    __slots__ = ()


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
    data = _data(scope, copying, items, defaults, rows if keep_rows else None)
    try:
        async with scope.transaction() as savepoint:
            await savepoint.copy(copying.statement, data)
    except errors.Conflict:
        return None
    return rows


async def _data(
    scope: Scope, copying: Copying, items: Sequence[Any], defaults: Any, rows: dict[UUID, Any] | None
) -> AsyncGenerator[bytes, None]:
    organization = scope.organization_id
    yield HEADER
    for start in range(0, len(items), _ROWS_AT_ONCE):
        some = items[start : start + _ROWS_AT_ONCE]
        records = [copying.record(item, defaults, scope.actor_id) for item in some]
        yield b"".join([copy_row((organization, *record)) for record in records])
        if rows is not None:
            made = (copying.row(record, defaults) for record in records)
            rows.update((row.id, row) for row in made if row)
    yield TRAILER


def copy_row(record: Sequence[Any]) -> bytes:
    """Write one record in COPY's binary format.

    Args:
        record: UUIDs, texts, `Jsonb`, numbers for double precision, timestamps, None, or bytes, which go as they are.
    """
    return _COUNT.pack(len(record)) + b"".join([_WRITERS[type(value)](value) for value in record])


# PostgreSQL manual, COPY, Binary Format: a count of columns, then each with the length of what follows, -1 for NULL.
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_COUNT: Final = Struct(">h")
_LENGTH: Final = Struct(">i")
_LENGTH_AND_LONG: Final = Struct(">iq")
_LENGTH_AND_DOUBLE: Final = Struct(">id")
_SIXTEEN: Final = _LENGTH.pack(16)
_NULL: Final = _LENGTH.pack(-1)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def _text(value: str) -> bytes:
    sent = value.encode()
    return _LENGTH.pack(len(sent)) + sent


def _jsonb(value: Jsonb) -> bytes:
    sent = value.encode()
    return _LENGTH.pack(len(sent) + 1) + b"\x01" + sent


def _time(value: datetime) -> bytes:
    since = value - _EPOCH
    return _LENGTH_AND_LONG.pack(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


class _Writers(dict[type, Callable[[Any], bytes]]):
    """How a value of each type is written. A subclass, such as the driver's own UUID, is written as its base."""

    def __missing__(self, kind: type) -> Callable[[Any], bytes]:
        self[kind] = next(self[base] for base in kind.__mro__[1:] if base in self)
        return self[kind]


_WRITERS: Final = _Writers(
    {
        NoneType: lambda _: _NULL,
        UUID: lambda value: _SIXTEEN + value.bytes,
        str: _text,
        bytes: lambda value: _LENGTH.pack(len(value)) + value,
        Jsonb: _jsonb,
        float: lambda value: _LENGTH_AND_DOUBLE.pack(8, value),
        datetime: _time,
    }
)
