"""Each rule about indexes on real tables: where it speaks, where it must not, and where it nearly does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import analysis
from agentmem_store.analysis.control import executor_of, undone
from agentmem_store.analysis.rules import RULES

if TYPE_CHECKING:
    import asyncpg

    from agentmem_store.analysis import Advice
    from agentmem_store.database import Database

    Connection = asyncpg.Connection[Any]

pytestmark = pytest.mark.own_sessions

RULE = {rule.name: rule for rule in RULES}
# Rows enough for every limit; a hundred owners.
TABLE = """
CREATE TABLE drill.owners (id integer PRIMARY KEY);
INSERT INTO drill.owners SELECT i FROM generate_series(1, 100) AS i;
CREATE TABLE drill.things AS
SELECT i AS id, 1 + i % 100 AS owner_id, CASE WHEN i % 2 = 0 THEN 1 + i % 100 END AS keeper_id, 'name ' || i AS name,
       i % 7 AS n
FROM generate_series(1, 5000) AS i;
"""


async def found(db: Database, drill: Connection, rule: str, *ddl: str, **limits: float) -> list[Advice]:
    """What a rule says of the tables after some statements."""
    await drill.execute(TABLE)
    for statement in ddl:
        await drill.execute(statement)
    await drill.execute("ANALYZE")
    chosen = replace(RULE[rule], limits={**RULE[rule].limits, **limits})
    return await analysis.advise(db, queries=[], schema="drill", rules=[chosen])


async def obey(drill: Connection, advice: Advice) -> None:
    """Run a piece of advice and take it back: both are statements that the server takes."""
    assert advice.ddl is not None
    await drill.execute(advice.ddl)
    assert advice.undo is not None
    await drill.execute(advice.undo)


SAME = [
    "CREATE INDEX one ON drill.things (owner_id, name)",
    "CREATE INDEX two ON drill.things (owner_id, name)",
]


async def test_a_duplicate_is_told_once(db: Database, drill: Connection) -> None:
    (advice,) = await found(db, drill, "duplicate_index", *SAME)
    assert (advice.ddl, advice.evidence["kept"]) == ("DROP INDEX CONCURRENTLY drill.two", "one")
    assert advice.size_estimate is not None
    assert advice.size_estimate < 0
    assert "statistics_days" in advice.evidence
    await obey(drill, advice)


async def test_a_duplicate_of_a_key_is_told_and_the_key_stays(db: Database, drill: Connection) -> None:
    own = "CREATE UNIQUE INDEX again ON drill.owners (id)"
    (advice,) = await found(db, drill, "duplicate_index", own)
    assert advice.ddl == "DROP INDEX CONCURRENTLY drill.again"


async def test_a_duplicate_that_refuses_at_once_what_a_deferrable_key_lets_through(
    db: Database, drill: Connection
) -> None:
    key = "ALTER TABLE drill.things ADD CONSTRAINT one UNIQUE (id) DEFERRABLE"
    assert await found(db, drill, "duplicate_index", key, "CREATE UNIQUE INDEX two ON drill.things (id)") == []
    await drill.execute("CREATE INDEX three ON drill.things (id)")
    (advice,) = await analysis.advise(db, queries=[], schema="drill", rules=[RULE["duplicate_index"]])
    assert advice.ddl == "DROP INDEX CONCURRENTLY drill.three"


async def test_all_advice_on_indexes_may_be_followed_at_once(db: Database, drill: Connection) -> None:
    """Of three that do the same work one stays, though the statistics know no use of any; none is told twice."""
    await found(db, drill, "unused_index", *SAME, "CREATE INDEX short ON drill.things (owner_id)")
    limits = {"days": 0, "scans": 0, "bytes": 0}
    rules = [replace(RULE[f"{name}_index"], limits=limits) for name in ("duplicate", "overlapping", "unused")]
    told = await analysis.advise(db, queries=[], schema="drill", rules=rules)
    assert {(each.rule, each.subject) for each in told} == {
        ("duplicate_index", "drill.two"),
        ("overlapping_index", "drill.short"),
    }


@pytest.mark.parametrize(
    "nearly",
    [
        "CREATE INDEX two ON drill.things (owner_id, name text_pattern_ops)",
        'CREATE INDEX two ON drill.things (owner_id, name COLLATE "C")',
        "CREATE INDEX two ON drill.things (owner_id, name DESC)",
        "CREATE INDEX two ON drill.things (owner_id, name) INCLUDE (n)",
        "CREATE INDEX two ON drill.things (owner_id, name) WHERE n > 3",
        "CREATE INDEX two ON drill.things (owner_id, lower(name))",
        "CREATE INDEX two ON drill.things (name, owner_id)",
    ],
)
async def test_what_only_looks_like_a_duplicate(db: Database, drill: Connection, nearly: str) -> None:
    assert await found(db, drill, "duplicate_index", SAME[0], nearly) == []


async def test_the_beginning_of_another_index_is_told(db: Database, drill: Connection) -> None:
    short = "CREATE INDEX short ON drill.things (owner_id)"
    (advice,) = await found(db, drill, "overlapping_index", SAME[0], short, bytes=0)
    assert (advice.ddl, advice.evidence["kept"]) == ("DROP INDEX CONCURRENTLY drill.short", "one")
    await obey(drill, advice)


@pytest.mark.parametrize(
    "nearly",
    [
        "CREATE INDEX short ON drill.things (name)",
        "CREATE INDEX short ON drill.things (owner_id DESC)",
        "CREATE INDEX short ON drill.things (owner_id) WHERE n > 3",
        "CREATE INDEX short ON drill.things (owner_id) INCLUDE (n)",
        "CREATE INDEX short ON drill.things USING hash (owner_id)",
        "CREATE UNIQUE INDEX short ON drill.things (id)",
        "ALTER TABLE drill.things ADD CONSTRAINT short PRIMARY KEY (id)",
    ],
)
async def test_what_only_looks_like_the_beginning(db: Database, drill: Connection, nearly: str) -> None:
    longer = "CREATE INDEX long ON drill.things (id, name)"
    assert await found(db, drill, "overlapping_index", SAME[0], longer, nearly, bytes=0) == []


async def test_an_index_that_nobody_uses_is_told(db: Database, drill: Connection) -> None:
    (advice,) = await found(db, drill, "unused_index", SAME[0], days=0, bytes=0)
    assert (advice.ddl, advice.severity) == ("DROP INDEX CONCURRENTLY drill.one", "notice")
    assert "Replicas" in advice.message
    await obey(drill, advice)


async def test_statistics_have_to_be_old_enough(db: Database, drill: Connection) -> None:
    assert await found(db, drill, "unused_index", SAME[0], bytes=0) == []


@pytest.mark.parametrize(
    "nearly",
    [
        "CREATE UNIQUE INDEX one ON drill.things (id)",
        """
        CREATE INDEX one ON drill.things (owner_id);
        ALTER TABLE drill.things ADD FOREIGN KEY (owner_id) REFERENCES drill.owners (id)
        """,
        """
        CREATE INDEX one ON drill.things (owner_id);
        SET enable_seqscan = off;
        SELECT count(*) FROM drill.things WHERE owner_id = 5;
        SELECT pg_stat_force_next_flush()
        """,
    ],
)
async def test_what_nobody_uses_and_yet_is_needed(db: Database, drill: Connection, nearly: str) -> None:
    assert await found(db, drill, "unused_index", nearly, days=0, bytes=0) == []


async def test_an_index_that_was_not_built_to_the_end_is_told(db: Database, drill: Connection) -> None:
    await drill.execute(TABLE)
    with pytest.raises(Exception, match="duplicated"):
        await drill.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON drill.things (owner_id)")
    key = "ALTER TABLE drill.things ADD FOREIGN KEY (owner_id) REFERENCES drill.owners (id)"
    await drill.execute(key)
    await drill.execute("ANALYZE")
    (advice,) = await analysis.advise(db, queries=[], schema="drill")
    assert advice.ddl == "REINDEX INDEX CONCURRENTLY drill.broken"
    assert (advice.rule, advice.severity) == ("invalid_index", "critical"), "and the key's index is not asked for twice"


async def test_an_index_being_built_is_left_alone(db: Database, drill: Connection) -> None:
    await drill.execute(TABLE)
    await drill.execute("CREATE INDEX fine ON drill.things (owner_id)")
    assert await analysis.advise(db, queries=[], schema="drill", rules=[RULE["invalid_index"]]) == []
    async with undone(executor_of(db), 5) as executor:
        facts = await analysis_facts(executor)
    building = [replace_facts(index, is_valid=False, is_building=True) for index in facts.indexes]
    assert RULE["invalid_index"].find(replace(facts, indexes=building)) == []


async def analysis_facts(executor: Any) -> Any:
    from agentmem_store.analysis.advise import facts_of

    return await facts_of(executor, {}, "drill", 5)


def replace_facts(facts: Any, **changes: Any) -> Any:
    return facts.model_copy(update=changes)


OWNER = "ALTER TABLE drill.things ADD CONSTRAINT owner FOREIGN KEY (owner_id) REFERENCES drill.owners (id)"
KEEPER = "ALTER TABLE drill.things ADD CONSTRAINT keeper FOREIGN KEY (keeper_id) REFERENCES drill.owners (id)"


@pytest.mark.parametrize(
    ("key", "begins"),
    [(OWNER, "(owner_id)"), (KEEPER, "(keeper_id) WHERE keeper_id IS NOT NULL")],
)
async def test_a_foreign_key_without_an_index_is_told(db: Database, drill: Connection, key: str, begins: str) -> None:
    not_null = "ALTER TABLE drill.things ALTER owner_id SET NOT NULL"
    (advice,) = await found(db, drill, "foreign_key_index", not_null, key)
    assert advice.ddl is not None
    assert advice.ddl.endswith(f"ON drill.things USING btree {begins}")
    assert advice.size_estimate is not None
    await drill.execute(advice.ddl)
    real = await drill.fetchval("SELECT pg_relation_size($1::regclass)", f"drill.{advice.ddl.split()[3]}")
    assert real / 2 <= advice.size_estimate <= real * 2
    assert await analysis.advise(db, queries=[], schema="drill", rules=[RULE["foreign_key_index"]]) == []
    assert advice.undo is not None
    await drill.execute(advice.undo)


@pytest.mark.parametrize(
    "index",
    [
        "CREATE INDEX i ON drill.things (keeper_id)",
        "CREATE INDEX i ON drill.things (keeper_id, name)",
        "CREATE INDEX i ON drill.things (keeper_id) WHERE keeper_id IS NOT NULL",
        "CREATE INDEX i ON drill.things USING hash (keeper_id)",
    ],
)
async def test_a_foreign_key_that_an_index_serves(db: Database, drill: Connection, index: str) -> None:
    assert await found(db, drill, "foreign_key_index", KEEPER, index) == []


@pytest.mark.parametrize(
    "index",
    [
        "CREATE INDEX i ON drill.things (name, keeper_id)",
        "CREATE INDEX i ON drill.things (keeper_id) WHERE n > 3",
        "CREATE INDEX i ON drill.things USING brin (keeper_id)",
    ],
)
async def test_an_index_that_seems_to_serve_a_foreign_key(db: Database, drill: Connection, index: str) -> None:
    assert len(await found(db, drill, "foreign_key_index", KEEPER, index)) == 1


async def test_a_foreign_key_of_a_small_table_is_left_alone(db: Database, drill: Connection) -> None:
    assert await found(db, drill, "foreign_key_index", OWNER, "DELETE FROM drill.things WHERE id > 999") == []


async def test_a_key_of_several_columns_in_any_order(db: Database, drill: Connection) -> None:
    ddl = [
        "CREATE TABLE drill.pairs (a integer, b integer, PRIMARY KEY (a, b))",
        "CREATE TABLE drill.refs AS SELECT NULL::integer AS a, NULL::integer AS b FROM generate_series(1, 2000)",
        "ALTER TABLE drill.refs ADD FOREIGN KEY (a, b) REFERENCES drill.pairs (a, b)",
    ]
    (advice,) = await found(db, drill, "foreign_key_index", *ddl)
    assert advice.ddl is not None
    assert "(a, b)" in advice.ddl
    await drill.execute("CREATE INDEX turned ON drill.refs (b, a)")
    assert await analysis.advise(db, queries=[], schema="drill", rules=[RULE["foreign_key_index"]]) == []
