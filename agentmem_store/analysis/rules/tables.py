"""Rules about tables: how they are read, cleaned up and cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agentmem_store.analysis.advice import Advice
from agentmem_store.analysis.rules.base import Facts, Rule
from agentmem_store.analysis.words import size
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agentmem_store.models.analysis import TableFacts

__all__ = ["CACHE_HITS", "DEAD_ROWS", "HOT_UPDATES", "SEQUENTIAL_SCANS", "STALE_STATISTICS"]


def _sequential(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for table in facts.tables:
        each = table.seq_rows / max(table.seq_scans, 1)
        if (
            table.rows >= limits["rows"]
            and table.seq_scans >= limits["scans"]
            and each >= limits["part"] * table.rows
            and table.seq_scans >= limits["of_scans"] * (table.seq_scans + table.index_scans)
        ):
            yield Advice(
                rule="sequential_scans",
                severity="warning",
                subject=table.shown,
                message=f"{table.table_name} was read whole {table.seq_scans:,} times, {each:,.0f} rows each time: "
                "look for its queries with `agentmem-store slow`, and see their plans with `agentmem-store explain`",
                evidence={"rows": round(table.rows), "seq_scans": table.seq_scans, "index_scans": table.index_scans,
                          "rows_each": round(each)},
            )  # fmt: skip


def _dead(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for table in facts.tables:
        part = table.dead / max(table.dead + table.live, 1)
        if table.dead < max(limits["rows"], table.vacuum_at * limits["late"]) or part < limits["part"]:
            continue
        why = "autovacuum is late" if table.autovacuum else "autovacuum is off for it"
        when = table.last_vacuum.isoformat(timespec="seconds") if table.last_vacuum else "never"
        yield Advice(
            rule="dead_rows",
            severity="warning" if table.autovacuum else "critical",
            subject=table.shown,
            message=f"{part:.0%} of {table.table_name} are dead rows, {table.dead:,}, and {why}: each scan reads them. "
            "Look for transactions that stay open; let autovacuum come by earlier (autovacuum_vacuum_scale_factor)",
            evidence={"dead": table.dead, "live": table.live, "due_at": round(table.vacuum_at), "last_vacuum": when,
                      "autovacuum": table.autovacuum},
            ddl=f"VACUUM (ANALYZE) {table.shown}",
        )  # fmt: skip


def _stale(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for table in facts.tables:
        never = table.last_analyze is None and table.live >= limits["rows"]
        stale = table.changed >= max(limits["rows"], table.analyze_at, limits["part"] * max(table.rows, 0))
        if not (never or stale):
            continue
        when = (
            "was never analyzed" if table.last_analyze is None else f"changed {table.changed:,} rows since its ANALYZE"
        )
        yield Advice(
            rule="stale_statistics",
            severity="warning",
            subject=table.shown,
            message=f"{table.table_name} {when}: plans rest on what it held before",
            evidence={"changed": table.changed, "rows": round(table.rows), "live": table.live,
                      "due_at": round(table.analyze_at)},
            ddl=f"ANALYZE {table.shown}",
        )  # fmt: skip


def _hot(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for table in facts.tables:
        ratio = table.hot_updated / max(table.updated, 1)
        if table.updated < limits["updates"] or ratio >= limits["ratio"]:
            continue
        can_fill_less = table.fillfactor > limits["fillfactor"]
        yield Advice(
            rule="hot_updates",
            severity="notice",
            subject=table.shown,
            message=f"{ratio:.0%} of {table.updated:,} updates of {table.table_name} stayed within their page: the "
            "others wrote to every index. Room in its pages helps, unless the updates change indexed columns",
            evidence={"updated": table.updated, "hot": table.hot_updated, "ratio": round(ratio, 3),
                      "fillfactor": table.fillfactor},
            ddl=f"ALTER TABLE {table.shown} SET (fillfactor = {limits['fillfactor']:.0f})" if can_fill_less else None,
            undo=_as_before(table) if can_fill_less else None,
            size_estimate=round(table.table_bytes * (table.fillfactor / limits["fillfactor"] - 1))
            if can_fill_less
            else None,
        )  # fmt: skip


def _as_before(table: TableFacts) -> str:
    if table.fillfactor == 100:  # noqa: PLR2004  # the default
        return f"ALTER TABLE {table.shown} RESET (fillfactor)"
    return f"ALTER TABLE {table.shown} SET (fillfactor = {table.fillfactor})"


def _cache(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for table in facts.tables:
        asked = table.blocks_hit + table.blocks_read
        ratio = table.blocks_hit / max(asked, 1)
        if asked < limits["blocks"] or ratio >= limits["ratio"]:
            continue
        evidence: dict[str, Any] = {"hit": table.blocks_hit, "read": table.blocks_read, "ratio": round(ratio, 4),
                                    "bytes": table.total_bytes}  # fmt: skip
        yield Advice(
            rule="cache_hits",
            severity="notice",
            subject=table.shown,
            message=f"{ratio:.1%} of the pages asked for of {table.table_name} ({size(table.total_bytes)}) were in the "
            "server's cache: give it more memory (shared_buffers), or read less of it",
            evidence=evidence,
        )


SEQUENTIAL_SCANS: Final = Rule(
    "sequential_scans",
    "A large table that is read whole again and again, most of it each time: some query finds no index.",
    (statements.TABLES,),
    {"rows": 10_000, "scans": 1_000, "part": 0.1, "of_scans": 0.05},
    _sequential,
)
DEAD_ROWS: Final = Rule(
    "dead_rows",
    "Updates and deletes leave dead rows until a vacuum. Told when there are twice as many as autovacuum waits for.",
    (statements.TABLES,),
    {"rows": 1_000, "part": 0.2, "late": 2},
    _dead,
)
STALE_STATISTICS: Final = Rule(
    "stale_statistics",
    "The planner counts on what the last ANALYZE saw. Told when a fifth of a table changed since, or all of it.",
    (statements.TABLES,),
    {"rows": 1_000, "part": 0.2},
    _stale,
)
HOT_UPDATES: Final = Rule(
    "hot_updates",
    "An update that changes no indexed column and finds room in the row's page writes to no index. Told of tables "
    "that are updated much and mostly in the other way.",
    (statements.TABLES,),
    {"updates": 10_000, "ratio": 0.5, "fillfactor": 90},
    _hot,
)
CACHE_HITS: Final = Rule(
    "cache_hits",
    "Pages that are not in the server's cache come from the operating system or the disk. Below 99 in 100 the memory "
    "is too small for what is read.",
    (statements.TABLES,),
    {"blocks": 100_000, "ratio": 0.99},
    _cache,
)
