"""The tables beside memories and messages that hold their embeddings, and statements of which each table has its own.

A statement is made when it is first asked for: there are many, and a process knows one model or two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, LiteralString, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agentmem_store.query import Query

__all__ = ["MEMORIES", "MESSAGES", "PerSide", "Side"]

Row = TypeVar("Row")


class Side(NamedTuple):
    """One of those tables.

    Attributes:
        source: the table that was embedded.
        key: the column that names its row.
        columns: what is copied from it that a candidate of a search needs beside its id.
        owner: what else is copied from it, to tell whose it is.
        dimension: how many numbers a vector has.
        table: its name, with the schema.
        to_vector: the function that makes a vector of the column's type from real[].
    """

    source: LiteralString
    key: LiteralString
    columns: tuple[LiteralString, ...]
    owner: tuple[LiteralString, ...]
    dimension: LiteralString
    table: LiteralString
    to_vector: LiteralString

    @property
    def indexed(self) -> LiteralString:
        """The function that makes of a vector what an index on it holds."""
        return "agentmem.indexed_" + self.dimension


class PerSide(Generic[Row]):
    """A statement for each of some tables."""

    def __init__(self, sides: Mapping[int, Side], make: Callable[[Side], Query[Row]]) -> None:
        self._sides = sides
        self._make = make
        self._made: dict[int, Query[Row]] = {}

    def of(self, dimension: int) -> Query[Row]:
        """Return the statement for the table of a dimension."""
        made = self._made.get(dimension)
        if made is None:
            made = self._made[dimension] = self._make(self._sides[dimension])
        return made

    def __iter__(self) -> Iterator[Query[Row]]:
        return map(self.of, self._sides)


_DIMENSIONS: Final[tuple[tuple[int, LiteralString, LiteralString], ...]] = (
    (256,  "256",  "agentmem.to_vector"),
    (384,  "384",  "agentmem.to_vector"),
    (512,  "512",  "agentmem.to_vector"),
    (768,  "768",  "agentmem.to_vector"),
    (1024, "1024", "agentmem.to_vector"),
    (1536, "1536", "agentmem.to_vector"),
    (2048, "2048", "agentmem.to_long_vector"),
    (3072, "3072", "agentmem.to_long_vector"),
)

MEMORIES: Final[dict[int, Side]] = {
    number: Side(
        "memories", "memory_id", (), ("agent_id", "user_id"), text, "agentmem.memory_embeddings_" + text, to_vector)
    for number, text, to_vector in _DIMENSIONS
}
MESSAGES: Final[dict[int, Side]] = {
    number: Side(
        "messages", "message_id", ("seq", "user_id", "group_id"), ("agent_id",), text,
        "agentmem.message_embeddings_" + text, to_vector)
    for number, text, to_vector in _DIMENSIONS
}
