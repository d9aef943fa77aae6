"""What the rules of advice look at: facts of a server's catalogs and statistics."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import pydantic

from agentmem_store.models.base import JsonItems, JsonStrings

__all__ = [
    "ColumnFacts", "DatabaseFacts", "EffectFacts", "ForeignKeyFacts", "IndexFacts", "SessionFacts", "StatementFacts",
    "TableFacts", "quoted",
]  # fmt: skip


class _Facts(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)


class IndexFacts(_Facts):
    """An index.

    Attributes:
        number: its oid; a later index has a higher one.
        schema_name, table_name, name, method: where it is, and its access method.
        keys: its key columns or expressions, in order.
        classes, collations: of each key, `schema.name` of its operator class and its collation, empty for none.
        orders: of each key, bits: 1 descending, 2 NULLs first.
        included: columns that it only carries.
        predicate: which rows it holds; None for all.
        constraints: names of the constraints that stand on it, foreign keys of other tables included.
        definition: what creates it.
        bytes, scans: its size, and how often it was used since statistics were reset.
        last_scan: when it was last used; None if never, and before PostgreSQL 16.
    """

    number: int
    schema_name: str
    table_name: str
    name: str
    method: str
    keys: JsonStrings
    classes: JsonStrings
    collations: JsonStrings
    orders: JsonItems
    included: JsonStrings
    has_expressions: bool
    predicate: str | None
    is_unique: bool
    is_primary: bool
    is_replica_identity: bool
    is_valid: bool
    is_ready: bool
    is_building: bool
    nulls_not_distinct: bool
    constraints: JsonStrings
    definition: str
    bytes: int
    scans: int
    last_scan: datetime | None
    table_rows: float

    @property
    def shown(self) -> str:
        """Its name as a statement takes it."""
        return f"{quoted(self.schema_name)}.{quoted(self.name)}"


class ForeignKeyFacts(_Facts):
    """A foreign key.

    Attributes:
        columns, nullable: its columns, and those of them that may be NULL.
        target: the table that it points to.
        table_rows: rows of its own table; `held_rows` those in which it is set, to `distinct` different values.
        width: bytes of the columns.
    """

    schema_name: str
    table_name: str
    name: str
    columns: JsonStrings
    nullable: JsonStrings
    target: str
    table_rows: float
    held_rows: float
    distinct: float
    width: float


class TableFacts(_Facts):
    """A table: what it holds, what was done to it since statistics were reset, and when autovacuum comes by.

    Attributes:
        rows: estimated by the last ANALYZE or VACUUM; -1 before the first.
        vacuum_at: the number of dead rows from which on autovacuum comes; `analyze_at` likewise of changed rows.
        fillfactor: how full, in per cent, pages are made.
    """

    schema_name: str
    table_name: str
    rows: float
    live: int
    dead: int
    changed: int
    inserted: int
    updated: int
    hot_updated: int
    deleted: int
    seq_scans: int
    seq_rows: int
    index_scans: int
    blocks_read: int
    blocks_hit: int
    table_bytes: int
    index_bytes: int
    total_bytes: int
    autovacuum: bool
    vacuum_at: float
    analyze_at: float
    fillfactor: int
    last_vacuum: datetime | None
    last_analyze: datetime | None

    @property
    def shown(self) -> str:
        """Its name as a statement takes it."""
        return f"{quoted(self.schema_name)}.{quoted(self.table_name)}"


class DatabaseFacts(_Facts):
    """The database and its server.

    Attributes:
        statistics_s: seconds since its statistics were last reset, at least since the server started if never known.
        room: connections for clients who are no superusers; `connected` are in use, by any database.
    """

    version: int
    statistics_s: float
    temp_files: int
    temp_bytes: int
    commits: int
    deadlocks: int
    room: int
    connected: int
    work_mem: str
    is_replica: bool


class SessionFacts(_Facts):
    """A client's session: what it is in, for how long, and which processes it waits for."""

    pid: int
    application: str
    state: str
    transaction_s: float
    state_s: float
    waits_s: float
    blockers: JsonItems
    waits_for: str | None


class ColumnFacts(_Facts):
    """A column, and the table that it is of.

    Attributes:
        rows, pages: of the table, estimated.
        width: average bytes; 8 before the first ANALYZE.
        correlation: of its order with that of the rows, -1 to 1.
        sorts: whether a B-tree can hold its type; `contains` whether GIN can.
    """

    schema_name: str
    table_name: str
    name: str
    type_name: str
    rows: float
    pages: int
    width: int
    distinct: float
    correlation: float
    sorts: bool
    contains: bool


class EffectFacts(_Facts):
    """What a write to a table moves beside its rows: a sequence or a trigger."""

    kind: str
    name: str
    on_table: str


class StatementFacts(_Facts):
    """What pg_stat_statements has of one of our queries.

    Attributes:
        total_ms, mean_ms, stddev_ms: milliseconds of execution.
        hit, read, temp: pages of 8 kB.
    """

    query: str
    calls: int
    total_ms: float
    mean_ms: float
    max_ms: float
    rows: int
    hit: int
    read: int
    temp: int


_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


def quoted(name: Any) -> str:
    """Return a name as a statement takes it, in quotes where it needs them."""
    text = str(name)
    if text and set(text) <= _PLAIN and not text[0].isdigit() and text not in _RESERVED:
        return text
    return '"' + text.replace('"', '""') + '"'


# Of PostgreSQL's reserved words, those that are anybody's column.
_RESERVED: Final = frozenset({
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "both", "case", "cast", "check", "collate",
    "column", "constraint", "create", "current_user", "default", "desc", "distinct", "do", "else", "end", "except",
    "false", "fetch", "for", "foreign", "from", "grant", "group", "having", "in", "into", "leading", "limit", "not",
    "null", "offset", "on", "only", "or", "order", "primary", "references", "returning", "select", "some", "table",
    "then", "to", "trailing", "true", "union", "unique", "user", "using", "variadic", "when", "where", "window", "with",
})  # fmt: skip
