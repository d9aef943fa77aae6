"""Twenty small workloads, always the same, each of a table and a query, most of them with an index that is best.

What is best is not written here: the test finds it by building every index of up to three of the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from agentmem_store.query import Query

__all__ = ["SCHEMA", "WORKLOADS", "Workload"]

SCHEMA = "drill"

# i is scattered over the table, so that no column is in the order of the rows.
_TABLE = """
CREATE TABLE drill.{name} AS
SELECT (i * 7919::bigint) % {rows}                                        AS id,
       'owner ' || (i * 104729::bigint) % {owners}                        AS owner,
       ((i * 15485863::bigint) % {groups})::integer                       AS grp,
       (i * 32452843::bigint) % {rows}                                    AS at,
       CASE WHEN (i * 49979687::bigint) % 50 = 0 THEN 'open' ELSE 'done' END AS state,
       (i * 67867967::bigint) % 40 = 0                                    AS hidden,
       CASE WHEN (i * 86028121::bigint) % 20 = 0 THEN ((i * 122949823::bigint) % 500)::integer END AS parent,
       ARRAY['t' || (i * 141650939::bigint) % 300, 't' || (i * 160481183::bigint) % 300] AS tags,
       repeat('x', 60)                                                    AS filler
FROM generate_series(1, {rows}) AS i
"""


@dataclass(frozen=True)
class Workload:
    """A table of its own and what is asked of it.

    Attributes:
        name: of the table and of the query.
        sql: the query.
        columns: that an index could be on, for the exhaustive search; empty where it is known that none helps.
        owners, groups, rows: how many different ones.
        existing: indexes that are there.
    """

    name: str
    sql: LiteralString
    columns: tuple[str, ...]
    owners: int = 400
    groups: int = 40
    rows: int = 8_000
    existing: tuple[str, ...] = ()

    @property
    def query(self) -> Query[int]:
        """The query, named as the table."""
        return Query(f"drill.{self.name}", int, self.sql)

    @property
    def ddl(self) -> list[str]:
        """What makes the table."""
        made = _TABLE.format(name=self.name, rows=self.rows, owners=self.owners, groups=self.groups)
        return [made, *(f"CREATE INDEX ON drill.{self.name} ({columns})" for columns in self.existing)]


WORKLOADS = [
    Workload("one_equal", "SELECT t.id FROM drill.one_equal AS t WHERE t.owner = $1", ("owner", "grp", "at")),
    Workload(
        "two_equal",
        "SELECT t.id FROM drill.two_equal AS t WHERE t.owner = $1 AND t.grp = $2",
        ("owner", "grp", "at"),
        owners=40,
    ),
    Workload(
        "equal_and_range",
        "SELECT t.id FROM drill.equal_and_range AS t WHERE t.grp = $1 AND t.at > $2",
        ("grp", "at", "owner"),
        groups=10,
    ),
    Workload(
        "newest_of_group",
        "SELECT t.id FROM drill.newest_of_group AS t WHERE t.grp = $1 ORDER BY t.at DESC LIMIT 10",
        ("grp", "at", "owner"),
        groups=8,
    ),
    Workload("newest", "SELECT t.id FROM drill.newest AS t ORDER BY t.at DESC LIMIT 20", ("at", "grp", "id")),
    Workload(
        "oldest_by_two",
        "SELECT t.id FROM drill.oldest_by_two AS t WHERE t.grp = $1 ORDER BY t.at, t.id LIMIT 10",
        ("grp", "at", "id"),
        groups=8,
    ),
    Workload(
        "between",
        "SELECT t.id FROM drill.between AS t WHERE t.at >= $1 AND t.at < $2",
        ("at", "grp", "id"),
    ),
    Workload("several", "SELECT t.id FROM drill.several AS t WHERE t.owner = ANY ($1::text[])", ("owner", "grp", "at")),
    Workload(
        "without_parent",
        "SELECT t.id FROM drill.without_parent AS t WHERE t.parent IS NULL AND t.owner = $1",
        ("owner", "parent", "at"),
    ),
    Workload("rare_state", "SELECT t.id FROM drill.rare_state AS t WHERE t.state = 'open'", ("state", "grp", "at")),
    Workload("hidden_ones", "SELECT t.id FROM drill.hidden_ones AS t WHERE t.hidden", ("hidden", "grp", "at")),
    Workload("children", "SELECT t.id FROM drill.children AS t WHERE t.parent = $1", ("parent", "grp", "at")),
    Workload("removal", "DELETE FROM drill.removal AS t WHERE t.owner = $1 RETURNING t.id", ("owner", "grp", "at")),
    Workload(
        "change",
        "UPDATE drill.change AS t SET filler = '' WHERE t.owner = $1 AND t.grp = $2 RETURNING t.id",
        ("owner", "grp", "at"),
        owners=40,
    ),
    Workload(
        "exists_child",
        "SELECT o.id FROM (SELECT $1::bigint AS id) AS o "
        "WHERE EXISTS (SELECT FROM drill.exists_child AS t WHERE t.id = o.id AND t.state = 'done')",
        ("id", "state", "at"),
    ),
    Workload(
        "joined_to_few",
        "SELECT t.id FROM unnest($1::text[]) AS o (owner) JOIN drill.joined_to_few AS t ON t.owner = o.owner",
        ("owner", "grp", "at"),
        owners=4_000,
    ),
    Workload(
        "better_than_there",
        "SELECT t.id FROM drill.better_than_there AS t WHERE t.grp = $1 AND t.owner = $2",
        ("grp", "owner", "at"),
        groups=4,
        owners=500,
        existing=("grp",),
    ),
    Workload(
        "filtered_on_the_way",
        "SELECT t.id FROM drill.filtered_on_the_way AS t WHERE t.owner = $1 ORDER BY t.at LIMIT 10",
        ("owner", "at", "grp"),
        owners=100,
        existing=("at",),
    ),
    Workload("all_of_it", "SELECT count(*) FROM drill.all_of_it AS t WHERE t.state = 'done'", ()),
    Workload("well_served", "SELECT t.id FROM drill.well_served AS t WHERE t.owner = $1", (), existing=("owner",)),
]
