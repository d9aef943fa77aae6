"""What the rules of advice look at: facts of a server's catalogs and statistics."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import pydantic

from agentmem_store.models.base import JsonItems, JsonStrings

__all__ = [
    "ColumnFacts", "DatabaseFacts", "EffectFacts", "ForeignKeyFacts", "IndexFacts", "SessionFacts", "StatementFacts",
    "TableFacts", "quoted", "unquoted",
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
        is_deferrable: whether it is of a constraint that may wait for the end of a transaction.
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
    is_deferrable: bool
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
    """Return a name as a statement takes it, in quotes where quote_ident() of the server would put them."""
    text = str(name)
    if text and set(text) <= _PLAIN and not text[0].isdigit() and text not in _KEYWORDS:
        return text
    return '"' + text.replace('"', '""') + '"'


def unquoted(name: str) -> str:
    """Return a name that a statement takes as it is."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


# What pg_get_keywords() of PostgreSQL 18 has that is not unreserved: the words that quote_ident() quotes.
_KEYWORDS_TEXT: Final = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast
char character check coalesce collate collation column concurrently constraint create cross current_catalog
current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable
desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group
grouping having ilike in initially inner inout int integer intersect interval into is isnull join json json_array
json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value
lateral leading least left like limit localtime localtimestamp merge_action national natural nchar none normalize
not notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision
primary real references returning right row select session_user setof similar smallint some substring symmetric
system_user table tablesample then time timestamp to trailing treat trim true union unique user using values varchar
variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
xmlparse xmlpi xmlroot xmlserialize xmltable
"""
_KEYWORDS: Final = frozenset(_KEYWORDS_TEXT.split())
