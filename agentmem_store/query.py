"""A statement as a value: its name, its SQL and the type of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, LiteralString, TypeVar

from pydantic import BaseModel

from agentmem_store.models.base import Row as BaseRow
from agentmem_store.models.base import constructor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Query"]

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Query(Generic[Row]):
    """One named, typed statement.

    The SQL is a `LiteralString`: a type checker refuses text put together from values. In a query of a tenant
    table, ``$1`` is always the organization; `Scope` puts it there.

    Args:
        name: ``table.verb``; the same in logs, statistics, metrics and the leading SQL comment.
        row: a pydantic model, decoded from the row's columns by name; or a plain type, for a row of one column.
        sql: one statement with ``$n`` parameters, explicit columns and schema-qualified names.

    Attributes:
        text: what is sent: the statement behind a comment with its name, as shown by pg_stat_activity. The comment
            is constant, so that the driver's statement cache still hits.
        decode: turns one record into a `Row`.
    """

    name: str
    row: type[Row]
    sql: LiteralString
    text: str = field(init=False, repr=False, compare=False)
    decode: Callable[[Any], Row] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", f"-- name: {self.name}\n{self.sql.strip()}")
        object.__setattr__(self, "decode", _decoder(self.row))


def _decoder(row: type[Any]) -> Callable[[Any], Any]:
    """Choose how a record becomes a `row`: as it is for a stored row, else validated, else its only column."""
    if not issubclass(row, BaseModel):
        return _only_column
    if issubclass(row, BaseRow):
        return constructor(row)

    def to_model(record: Mapping[str, Any]) -> Any:
        # Looked up at each call: a model's validator is built when it is first used, not when it is imported.
        return row.__pydantic_validator__.validate_python(dict(record))

    return to_model


def _only_column(record: Any) -> Any:
    return record[0]
