"""Creating rows, one or many, so that the same call can be sent again.

- An id that is new is inserted.
- An id that is stored with the same content, or has changed since it was created, comes back as it stands.
- An id that is stored with other content, or a parent that is not there, refuses the whole batch.

So it is in mode `strict`. In mode `skip` a stored id comes back as it stands whatever its content; in mode `upsert` a
stored row that can be seen takes the new content, and keeps its version if that is what it has already.

The insert leaves out ids that are stored (ON CONFLICT DO NOTHING, which also waits for a copy racing this one) and
returns what it stored. Only when that is less than what was given, a second statement says why: the server compares on
the stored types, while the row is at version 1. So the usual case costs one statement with no look-up by id, whose plan
could go wrong on a table that was empty when it was planned.

Rows are stored in one order, that of their ids if the table has no other, so that two batches with ids in common wait
for each other and not in a circle. Beyond `ARRAYS_MOST` items a table that can be copied into is, unless an id is
stored already.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, Protocol, TypeVar, get_args

from agentmem_store import errors
from agentmem_store.executor import LEFT_OUT, Kind
from agentmem_store.inputs import Input, check_distinct
from agentmem_store.models.base import Refusal
from agentmem_store.models.base import Row as BaseRow
from agentmem_store.repositories.copying import Copying, copy_rows

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Sequence
    from uuid import UUID

    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = [
    "ARRAYS_MOST",
    "BATCH",
    "NAME_TAKEN",
    "Creation",
    "Mode",
    "arrays",
    "batches",
    "check_items",
    "check_mode",
    "create_row",
    "create_rows",
    "create_stream",
    "stored_again",
]


class _Item(Protocol):
    @property
    def id(self) -> UUID: ...


Row = TypeVar("Row", bound=BaseRow)
New = TypeVar("New", bound=_Item)

Mode = Literal["strict", "skip", "upsert"]
# An item, with its place in what the caller gave; None where it is the only one.
_Placed = tuple[int | None, Any]

# Where COPY begins to beat arrays (measured), and how much of a large batch is in flight at a time.
ARRAYS_MOST: Final = 2_000
BATCH: Final = 10_000

NAME_TAKEN: Final = "a living row has this name already: choose another name, or change that row"


@dataclass(frozen=True, slots=True)
class Creation(Generic[New, Row]):
    """How rows of one table are created.

    Attributes:
        entity: the table's singular, for errors.
        insert: takes one array per column from $2 on, and the actor last; returns what it inserted, in no order.
        refusals: takes the same arrays and returns why the batch is refused.
        stored: takes $2 ids and returns their rows, hidden or not.
        columns: an item's values in the order of the arrays; the first is its id.
        new: what an item has to be.
        upsert: takes what `insert` takes, and stores new rows as well as the new content of stored ones that can be
            seen; returns both.
        copying: how a large batch is stored, where the table can be copied into.
        order: what the items of a batch are sorted by while they are stored.
        two_keys: whether the table has another unique key than the id, in which the row of a copy that races an upsert
            may be met (measured: in 1 of 2,000 statements of five writers on a busy server). Then what is new is
            inserted first, whatever is taken, and only what was left out is upserted.
    """

    entity: str
    insert: Query[Row]
    refusals: Query[Refusal]
    stored: Query[Row]
    columns: Callable[[New], tuple[Any, ...]]
    new: type[Input] = Input
    upsert: Query[Row] | None = None
    copying: Copying | None = None
    order: Callable[[New], Any] = attrgetter("id.int")
    two_keys: bool = False


async def create_rows(
    scope: Scope, creation: Creation[New, Row], new: Sequence[New], mode: Mode = "strict"
) -> list[Row]:
    """Create all items or none, any number of them; return one row per item, in the order of the items.

    Raises:
        NotFound: a parent is not there; the message names the item.
        Conflict: an id is stored with other content (`strict`) or in a row that cannot be seen (`upsert`), or a unique
            name is taken.
        ValidationError: an item is of another kind, an id is given twice, or the table has no such mode.
    """
    check_mode(mode, upsert=creation.upsert is not None)
    check_items(creation, new)
    if len(new) > 1:
        async with scope.transaction() as tx:
            rows = await _store_all(tx, creation, _in_order(creation, new), mode)
    else:
        rows = await _store(scope, creation, [(None, item) for item in new], mode)
    return [rows[item.id] for item in new]


async def create_row(scope: Scope, creation: Creation[New, Row], new: New) -> Row:
    """Create an item and return its row: alone, or with those that others create at the same time.

    Raises:
        NotFound: a parent is not there.
        Conflict: the id is stored with other content, or a unique name is taken.
        ValidationError: the item is of another kind.
    """
    if scope.coalescer is None:
        return (await create_rows(scope, creation, [new]))[0]
    check_items(creation, [new])
    key = (creation.insert.name, scope.organization_id, scope.actor_id)
    return await scope.coalescer.call(key, lambda: _Creating(scope, creation), (new, creation.columns(new)))


class _Creating(Kind["tuple[New, tuple[Any, ...]]", Row], Generic[New, Row]):
    """An item comes with its columns as they were when the call was made."""

    def __init__(self, scope: Scope, creation: Creation[New, Row]) -> None:
        self.query = creation.insert
        self._scope = scope
        self._creation = creation

    def arguments(self, items: Sequence[tuple[New, tuple[Any, ...]]]) -> tuple[Any, ...]:
        columns = sorted((columns for _, columns in items), key=lambda columns: columns[0].int)
        return self._scope.organization_id, *map(list, zip(*columns, strict=True)), self._scope.actor_id

    def answers(self, items: Sequence[tuple[New, tuple[Any, ...]]], records: Sequence[Any]) -> Iterable[Row]:
        rows = {record["id"]: self.query.decode(record) for record in records}
        return (rows.get(new.id, LEFT_OUT) for new, _ in items)

    async def alone(self, item: tuple[New, tuple[Any, ...]]) -> Row:
        return (await create_rows(self._scope, self._creation, [item[0]]))[0]

    def ids(self, item: tuple[New, tuple[Any, ...]]) -> Sequence[UUID]:
        return (item[0].id,)


async def create_stream(
    scope: Scope, creation: Creation[New, Row], new: AsyncIterable[New], mode: Mode = "strict"
) -> int:
    """Create all items of a stream or none, in one transaction; return the number of items.

    No more than `BATCH` of them are held at a time. An id that comes again more than that later is one sent again.

    Raises:
        NotFound, Conflict, ValidationError: as `create_rows`; nothing of the stream is stored.
    """
    check_mode(mode, upsert=creation.upsert is not None)
    count = 0
    async with scope.transaction() as tx:
        async for batch in batches(new):
            check_items(creation, batch, count)
            await _store(tx, creation, _in_order(creation, batch, count), mode, keep_rows=False)
            count += len(batch)
    return count


async def stored_again(scope: Scope, creation: Creation[New, Row], new: New) -> Row | None:
    """Return the stored row of an item that an insert left out, or None when there is none, or none any more.

    Raises:
        NotFound: it was left out for a parent that is not there.
        Conflict: its id is stored with other content.
    """
    await _refuse(scope, creation, [(None, new)], "strict")
    return await scope.fetch_optional(creation.stored, [new.id])


def check_mode(mode: object, *, upsert: bool = True) -> None:
    """Check a mode.

    Args:
        mode: what was given.
        upsert: whether the table has that one.

    Raises:
        ValidationError: there is no such mode.
    """
    if mode not in get_args(Mode) or (mode == "upsert" and not upsert):
        known = "strict, skip or upsert" if upsert else "strict or skip"
        raise errors.ValidationError.of("mode", f"must be {known}")


def check_items(creation: Creation[Any, Any], new: Sequence[Any], first: int = 0) -> None:
    """Check a batch, whose first item has that place, before anything of it is sent.

    Raises:
        ValidationError: items are not what the table is made of, or an id is given twice; it names their places.
    """
    wrong = [place for place, item in enumerate(new, first) if not isinstance(item, creation.new)]
    if wrong:
        reason = f"must be a {creation.new.__name__}"
        raise errors.ValidationError([errors.Problem(place, "item", reason) for place in wrong])
    try:
        check_distinct(item.id for item in new)
    except errors.ValidationError as error:
        (problem,) = error.problems
        raise error.at(first + (problem.item or 0)) from None


def _in_order(creation: Creation[New, Any], new: Sequence[New], first: int = 0) -> list[_Placed]:
    """Give the items their places, and the order in which they are stored."""
    return sorted(enumerate(new, first), key=lambda placed: creation.order(placed[1]))


async def batches(items: AsyncIterable[New]) -> AsyncGenerator[list[New], None]:
    """Cut a stream into lists of `BATCH` items, of which one is held at a time."""
    batch: list[New] = []
    async for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _parts(placed: list[_Placed], size: int) -> Iterator[list[_Placed]]:
    return (placed[start : start + size] for start in range(0, len(placed), size))


async def _store_all(tx: Scope, creation: Creation[Any, Row], placed: list[_Placed], mode: Mode) -> dict[UUID, Row]:
    """Store any number of items and return their rows by id."""
    rows: dict[UUID, Row] = {}
    for batch in _parts(placed, BATCH):
        rows |= await _store(tx, creation, batch, mode)
        unread = [item.id for _, item in batch if item.id not in rows]
        if unread:
            rows.update((row.id, row) for row in await tx.fetch_all(creation.stored, unread))
    return rows


async def _store(
    scope: Scope, creation: Creation[Any, Row], placed: list[_Placed], mode: Mode, *, keep_rows: bool = True
) -> dict[UUID, Row]:
    """Store a batch and return its rows by id; of copied ones, those that are known."""
    if creation.copying and mode != "upsert" and len(placed) > ARRAYS_MOST:
        copied = await copy_rows(scope, creation.copying, [item for _, item in placed], keep_rows=keep_rows)
        if copied is not None:
            return copied
    rows: dict[UUID, Row] = {}
    if mode == "upsert" and creation.two_keys:
        for part in _parts(placed, ARRAYS_MOST):
            rows |= await _written(scope, creation, creation.insert, part)
        # Stored rows are changed in the order of their ids, by every statement.
        placed = sorted((one for one in placed if one[1].id not in rows), key=lambda one: one[1].id.int)
    for part in _parts(placed, ARRAYS_MOST):
        rows |= await _insert(scope, creation, part, mode)
    return rows


async def _written(
    scope: Scope, creation: Creation[Any, Row], query: Query[Row], placed: list[_Placed]
) -> dict[UUID, Row]:
    items = (item for _, item in placed)
    return {row.id: row for row in await scope.fetch_all(query, *arrays(creation, items), scope.actor_id)}


async def _insert(scope: Scope, creation: Creation[Any, Row], placed: list[_Placed], mode: Mode) -> dict[UUID, Row]:
    query = creation.upsert if mode == "upsert" and creation.upsert else creation.insert
    rows = await _written(scope, creation, query, placed)
    rest = [one for one in placed if one[1].id not in rows]
    if rest:
        await _refuse(scope, creation, rest, mode)
        rows.update((row.id, row) for row in await scope.fetch_all(creation.stored, [item.id for _, item in rest]))
    if len(rows) < len(placed):
        raise errors.Conflict(f"a {creation.entity} was removed while it was being sent again; look and decide again")
    return rows


def arrays(creation: Creation[New, Any], new: Iterable[New]) -> list[list[Any]]:
    """Turn items into one array per column, as the statements of a creation take them."""
    return [list(column) for column in zip(*map(creation.columns, new), strict=True)]


async def _refuse(scope: Scope, creation: Creation[Any, Any], placed: list[_Placed], mode: Mode) -> None:
    """Raise why the first item that cannot be stored cannot be, if there is one; name it when there are several."""
    found = await scope.fetch_all(creation.refusals, *arrays(creation, (item for _, item in placed)))
    for refusal in sorted(found, key=lambda refusal: placed[refusal.place - 1][0] or 0):
        place, item = placed[refusal.place - 1]
        if refusal.missing:
            raise errors.NotFound(refusal.missing, f"{_item(place)}no such {refusal.missing}, or it is deleted")
        if refusal.taken:
            raise errors.Conflict(_item(place) + NAME_TAKEN, constraint=refusal.taken)
        if mode == "strict":
            await _conflict(scope, creation, place, item.id, "is stored with other content")
    if mode == "upsert":
        place, item = placed[0]
        await _conflict(scope, creation, place, item.id, "is stored, but deleted or not where this one belongs")


async def _conflict(
    scope: Scope, creation: Creation[Any, Any], place: int | None, row_id: UUID, reason: str
) -> NoReturn:
    current = await scope.fetch_optional(creation.stored, [row_id])
    raise errors.Conflict(f"{_item(place)}this {creation.entity} {reason}", current=current)


def _item(place: int | None) -> str:
    return "" if place is None else f"item {place}: "
