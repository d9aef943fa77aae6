"""Rules about tables, sessions and the server: three cases of numbers each, and the real thing where it can be made."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import analysis, connect
from agentmem_store.analysis.rules import RULES, Facts
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.analysis import DatabaseFacts, SessionFacts, TableFacts

if TYPE_CHECKING:
    import asyncpg

    from agentmem_store.analysis import Advice

    Connection = asyncpg.Connection[Any]

pytestmark = pytest.mark.own_sessions

RULE = {rule.name: rule for rule in RULES}
NOW = datetime.now(UTC)
DATABASE = DatabaseFacts(
    version=180000, statistics_s=86_400 * 10, temp_files=0, temp_bytes=0, commits=1, deadlocks=0, room=97, connected=5,
    work_mem="4MB", is_replica=False,
)  # fmt: skip
TABLE = TableFacts(
    schema_name="agentmem", table_name="messages", rows=20_000, live=20_000, dead=0, changed=0, inserted=20_000,
    updated=0, hot_updated=0, deleted=0, seq_scans=0, seq_rows=0, index_scans=10_000, blocks_read=0, blocks_hit=0,
    table_bytes=8_192_000, index_bytes=819_200, total_bytes=9_011_200, autovacuum=True, vacuum_at=4_050,
    analyze_at=2_050, fillfactor=100, last_vacuum=NOW, last_analyze=NOW,
)  # fmt: skip
SESSION = SessionFacts(
    pid=1, application="worker", state="active", transaction_s=0, state_s=0, waits_s=0, blockers=[], waits_for=None
)


def of(table: dict[str, Any] | None = None, *sessions: dict[str, Any], pool: int = 5, **database: Any) -> Facts:
    """Facts that differ from the quiet ones in what is given."""
    return Facts(
        database=DATABASE.model_copy(update=database),
        tables=[TABLE.model_copy(update=table or {})],
        sessions=[SESSION.model_copy(update=each) for each in sessions],
        pool_size=pool,
    )


IDLE = "idle in transaction"
# Fires, must not, nearly does.
CASES: dict[str, tuple[Facts, Facts, Facts]] = {
    "sequential_scans": (
        of({"seq_scans": 1_000, "seq_rows": 20_000_000}),
        of({"rows": 500, "live": 500, "seq_scans": 100_000, "seq_rows": 50_000_000}),
        of({"seq_scans": 999, "seq_rows": 19_980_000}),
    ),
    "dead_rows": (of({"dead": 8_100}), of({"dead": 100}), of({"dead": 8_099})),
    "stale_statistics": (of({"changed": 4_000}), of({"changed": 10}), of({"changed": 3_999})),
    "hot_updates": (
        of({"updated": 10_000, "hot_updated": 4_999}),
        of({"updated": 10_000, "hot_updated": 9_000}),
        of({"updated": 10_000, "hot_updated": 5_000}),
    ),
    "cache_hits": (
        of({"blocks_hit": 98_900, "blocks_read": 1_100}),
        of({"blocks_hit": 10, "blocks_read": 1_000}),
        of({"blocks_hit": 99_000, "blocks_read": 1_000}),
    ),
    "temp_files": (
        of(temp_files=100, temp_bytes=1_048_576_000),
        of(temp_files=1, temp_bytes=1_048_576_000),
        of(temp_files=100, temp_bytes=1_048_575_999),
    ),
    "long_transaction": (
        of(None, {"transaction_s": 60}),
        of(None, {"transaction_s": 0.1}),
        of(None, {"transaction_s": 59.9}),
    ),
    "idle_transaction": (
        of(None, {"state": IDLE, "state_s": 60, "transaction_s": 60}),
        of(None, {"state": "idle", "state_s": 6_000}),
        of(None, {"state": IDLE, "state_s": 59.9, "transaction_s": 600}),
    ),
    "blocked": (
        of(None, {"pid": 2, "blockers": [1], "waits_s": 1}),
        of(None, {"pid": 1}, {"pid": 2}),
        of(None, {"pid": 2, "blockers": [1], "waits_s": 0.9}),
    ),
    "connections": (of(connected=78), of(connected=2), of(connected=77)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_where_it_is_to_and_only_there(name: str) -> None:
    fires, must_not, nearly = CASES[name]
    (advice,) = RULE[name].find(fires)
    assert advice.rule == name
    assert advice.evidence
    assert RULE[name].find(must_not) == []
    assert RULE[name].find(nearly) == []


def test_every_rule_has_its_cases_its_sql_and_its_explanation() -> None:
    of_indexes = {
        "missing_index", "foreign_key_index", "invalid_index", "duplicate_index", "overlapping_index", "unused_index",
    }  # fmt: skip
    assert set(CASES) | of_indexes == set(RULE)
    assert all(rule.queries and len(rule.explanation) > 40 for rule in RULES)


def test_a_pool_that_is_larger_than_the_server_is_critical() -> None:
    (advice,) = RULE["connections"].find(of(pool=98))
    assert (advice.severity, advice.evidence["room"]) == ("critical", 97)
    assert RULE["connections"].find(of(pool=97)) == []


def test_a_table_without_autovacuum_is_critical() -> None:
    (advice,) = RULE["dead_rows"].find(of({"dead": 8_100, "autovacuum": False}))
    assert (advice.severity, advice.ddl) == ("critical", "VACUUM (ANALYZE) agentmem.messages")


def test_a_table_that_was_never_analyzed_is_told() -> None:
    (advice,) = RULE["stale_statistics"].find(of({"last_analyze": None}))
    assert advice.ddl == "ANALYZE agentmem.messages"


def test_room_in_pages_is_made_once() -> None:
    (advice,) = RULE["hot_updates"].find(CASES["hot_updates"][0])
    assert (advice.ddl, advice.undo) == (
        "ALTER TABLE agentmem.messages SET (fillfactor = 90)", "ALTER TABLE agentmem.messages RESET (fillfactor)"
    )  # fmt: skip
    (again,) = RULE["hot_updates"].find(of({"updated": 10_000, "hot_updated": 0, "fillfactor": 90}))
    assert (again.ddl, again.undo, again.size_estimate) == (None, None, None)
    (loose,) = RULE["hot_updates"].find(of({"updated": 10_000, "hot_updated": 0, "fillfactor": 70}))
    assert (loose.ddl, loose.undo, loose.size_estimate) == (None, None, None)


def test_who_waits_for_whom_is_a_tree_from_the_one_who_waits_for_nobody() -> None:
    waiting = [
        {"pid": 1, "state": IDLE, "state_s": 9},
        {"pid": 2, "blockers": [1], "waits_s": 8},
        {"pid": 3, "blockers": [2, 1], "waits_s": 5},
        {"pid": 4, "blockers": [9], "waits_s": 70},
    ]
    far, near = RULE["blocked"].find(of(None, *waiting))[::-1]
    assert near.evidence["tree"] == {"1": {"2": {"3": {}}, "3": {}}}
    assert (near.evidence["blocked"], near.severity) == (2, "warning")
    assert (far.evidence["tree"], far.severity) == ({"9": {"4": {}}}, "critical")


async def told(db: Database, name: str, **limits: float) -> list[Advice]:
    rule = replace(RULE[name], limits={**RULE[name].limits, **limits})
    return await analysis.advise(db, queries=[], schema="drill", rules=[rule])


async def test_tables_as_the_server_counts_them(db: Database, drill: Connection) -> None:
    await drill.execute(
        "CREATE TABLE drill.things WITH (autovacuum_enabled = off) AS "
        "SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 3000) AS i"
    )
    await drill.execute("SELECT pg_stat_force_next_flush()")
    assert [each.subject for each in await told(db, "stale_statistics")] == ["drill.things"]
    await drill.execute("ANALYZE drill.things")
    assert await told(db, "stale_statistics") == []
    assert await told(db, "dead_rows") == []
    for _ in range(2):
        await drill.execute("UPDATE drill.things SET name = name || '!'")
    await drill.execute("SELECT pg_stat_force_next_flush()")
    (dead,) = await told(db, "dead_rows")
    assert (dead.evidence["dead"], dead.severity) == (6_000, "critical")
    (hot,) = await told(db, "hot_updates", updates=6_000)
    assert hot.evidence["updated"] == 6_000
    assert hot.ddl is not None
    await drill.execute(hot.ddl)
    assert (await told(db, "hot_updates", updates=6_000))[0].ddl is None, "it is obeyed"
    (scans,) = await told(db, "sequential_scans", rows=1_000, scans=2)
    assert scans.evidence["seq_scans"] >= 2
    (cache,) = await told(db, "cache_hits", blocks=1, ratio=1.1)
    assert cache.evidence["hit"] > 0


async def test_what_spills_is_counted(db: Database, drill: Connection) -> None:
    await drill.execute("SET work_mem = '64kB'")
    await drill.execute("SELECT count(*) FROM (SELECT i FROM generate_series(1, 50000) AS i ORDER BY i DESC) AS s")
    await drill.execute("SELECT pg_stat_force_next_flush()")
    (advice,) = await told(db, "temp_files", files=1, bytes_a_day=1)
    assert advice.evidence["bytes"] > 0


async def test_sessions_as_they_are(db: Database, drill: Connection) -> None:
    await drill.execute("CREATE TABLE drill.things AS SELECT 1 AS id")
    first, second = [await connect.connect(db.dsn, application_name=name) for name in ("first", "second")]
    try:
        await first.execute("BEGIN; UPDATE drill.things SET id = 2")
        task = asyncio.create_task(second.execute("UPDATE drill.things SET id = 3"))
        while not (blocked := await told(db, "blocked", seconds=0)):
            await asyncio.sleep(0)
        (advice,) = blocked
        assert advice.evidence["tree"] == {str(first.get_server_pid()): {str(second.get_server_pid()): {}}}
        (idle,) = await told(db, "idle_transaction", seconds=0)
        assert idle.evidence["pid"] == first.get_server_pid()
        long = await told(db, "long_transaction", seconds=0)
        assert second.get_server_pid() in {each.evidence["pid"] for each in long}
        await first.execute("ROLLBACK")
        await task
    finally:
        await first.close()
        await second.close()


async def test_the_pools_of_all_processes_against_the_real_server(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(max_size=5, processes=1_000)) as db:
        (advice,) = await told(db, "connections")
        assert (advice.severity, advice.evidence["pool"]) == ("critical", 5_000)
