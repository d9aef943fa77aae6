"""How the nearest are found: by an exact scan of the owner's rows, or by the index where it pays; never too few."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import connect, errors
from agentmem_store.embedding_index import create_index, drop_index
from agentmem_store.models.memories import MetadataFilter
from agentmem_store.repositories import memories
from agentmem_store.scope import Scope
from agentmem_store.statements import hybrid
from tests.servers import admin, on_database
from tests.vector.stored import MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from uuid import UUID

    import asyncpg

    from agentmem_store.database import Database

    Connection = asyncpg.Connection[Any]

pytestmark = pytest.mark.own_sessions

# A large owner and a small one, in a table of both.
LARGE, SMALL = 6_000, 20
SEED = """
    INSERT INTO agentmem.organizations (id, name) SELECT md5('o' || n)::uuid, 'o' FROM generate_series(1, 2) AS n;
    INSERT INTO agentmem.agents (organization_id, id) SELECT o.id, o.id FROM agentmem.organizations AS o;
    INSERT INTO agentmem.memories (organization_id, id, agent_id, content, hash, metadata)
    SELECT md5('o' || o.n)::uuid, md5('m' || o.n || '-' || i)::uuid, md5('o' || o.n)::uuid, 'text', repeat('0', 64),
           CASE WHEN i % 1500 = 7 THEN '{"k": 1}' ELSE '{}' END::jsonb
    FROM (VALUES (1, 6000), (2, 20)) AS o (n, rows), generate_series(1, o.rows) AS i;
    INSERT INTO agentmem.memory_embeddings_256 (organization_id, memory_id, model, agent_id, version, embedding)
    SELECT m.organization_id, m.id, 'model', m.agent_id, 1,
           agentmem.to_vector((
               SELECT array_agg(sin(('x' || substr(m.hex, 1 + j % 24, 8))::bit(32)::integer * (1.5 + j / 24)))
               FROM generate_series(1, 256) AS j
           )::real[])
    FROM (SELECT m.organization_id, m.id, m.agent_id, replace(m.id::text, '-', '') AS hex FROM agentmem.memories AS m)
         AS m;
    VACUUM ANALYZE agentmem.memories;
    VACUUM ANALYZE agentmem.memory_embeddings_256;
"""

ALIKE = """
    INSERT INTO agentmem.memories (organization_id, id, agent_id, content, hash, metadata)
    SELECT md5('o1')::uuid, md5('at ' || x)::uuid, md5('o1')::uuid, 'text', repeat('0', 64), jsonb_build_object('at', x)
    FROM unnest('{0.79975, 0.7999}'::numeric[]) AS x;
    INSERT INTO agentmem.memory_embeddings_256 (organization_id, memory_id, model, agent_id, version, embedding)
    SELECT md5('o1')::uuid, md5('at ' || x)::uuid, 'model', md5('o1')::uuid, 1,
           agentmem.to_vector(x::real || (e.embedding::real[])[2:])
    FROM unnest('{0.79975, 0.7999}'::numeric[]) AS x,
         agentmem.memory_embeddings_256 AS e
    WHERE e.memory_id = md5('m1-1')::uuid
"""


@pytest.fixture(scope="module")
def template(server: str, vector_template: str) -> Iterator[str]:
    """The name of a database with those rows; each test has a clone of its own."""
    name = f"{vector_template}_seeded"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{vector_template}"'))
    for statement in SEED.strip().split(";\n"):
        asyncio.run(admin(on_database(server, name), statement))
    yield name
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def seeded(dsn: str) -> AsyncIterator[Connection]:
    connection = await connect.connect(dsn)
    yield connection
    await connection.close()


async def owner(connection: Connection, number: int) -> UUID:
    found: UUID = await connection.fetchval(f"SELECT md5('o{number}')::uuid")
    return found


async def vector_of(connection: Connection, number: int, row: int) -> list[float]:
    found: list[float] = await connection.fetchval(
        f"SELECT embedding::real[] FROM agentmem.memory_embeddings_256 WHERE memory_id = md5('m{number}-{row}')::uuid"
    )
    return found


async def plan(connection: Connection, number: int, **settings: str) -> dict[str, str]:
    """Run a search, and return what its plan says of each part that reads embeddings."""
    tenant, numbers = await owner(connection, number), await vector_of(connection, number, 1)
    sql = hybrid.MEMORIES_OF_AGENT.of(256).sql
    array = "{" + ",".join(map(str, numbers)) + "}"
    await connection.execute(f"PREPARE searched AS {sql}")
    rows = await connection.fetch(
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) EXECUTE searched "
        f"('{tenant}', 10, '{tenant}', NULL, NULL, NULL, NULL, NULL, '', '{{}}', '{{}}', 1000, "
        f"'{MODEL}', '{array}', 200, 1, 0, 0, 30)"
    )
    await connection.execute("DEALLOCATE searched")
    _, *parts = re.split(r"^ *CTE (\w+)$", "\n".join(row[0] for row in rows), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def scan(part: str) -> str:
    """The line of a part that reads the table of embeddings."""
    [line] = [line.strip() for line in part.splitlines() if "on memory_embeddings_256" in line and "Scan" in line]
    return line


async def found(db: Database, number: int, row: int, **options: Any) -> list[UUID]:
    async with db.connection() as connection:
        tenant, numbers = await owner(connection, number), await vector_of(connection, number, row)
    hits = await memories.search(db.tenant(tenant), "", agent_id=tenant, embedding=numbers, model=MODEL, **options)
    return [hit.memory.id for hit in hits]


async def test_without_an_index_the_owners_rows_are_read_by_theirs(seeded: Connection) -> None:
    parts = await plan(seeded, 2)
    assert "memory_embeddings_256_by_agent" in parts["near_scanned"]
    assert "rows=20" in scan(parts["near_scanned"]), "and no row of others"
    assert "never executed" in scan(parts["near_reached"])


async def test_the_index_serves_the_large_and_the_small_are_scanned(seeded: Connection, db: Database) -> None:
    exact = [await found(db, 1, row) for row in range(1, 6)]
    assert await create_index(db.dsn, "memories", 256)
    large, small = await plan(seeded, 1), await plan(seeded, 2)
    assert "Index Scan using memory_embeddings_256_nearest" in scan(large["near_reached"])
    assert "never executed" in scan(large["near_scanned"])
    assert "never executed" in scan(small["near_reached"])
    assert "rows=20" in scan(small["near_scanned"])
    assert await seeded.fetchval("SHOW hnsw.iterative_scan") == "off", "nothing of it stays in the session"
    for row, before in enumerate(exact, 1):
        after = await found(db, 1, row)
        assert after[0] == before[0]
        assert len({*after} & {*before}) >= 8
    assert len(await found(db, 2, 1, limit=30)) == SMALL


async def test_too_short_an_answer_is_followed_by_an_exact_scan(seeded: Connection, db: Database) -> None:
    few: dict[str, Any] = {"metadata": MetadataFilter(contains={"k": 1})}
    exact = await found(db, 1, 1, **few)
    assert len(exact) == LARGE / 1500
    await create_index(db.dsn, "memories", 256)
    assert await found(db, 1, 1, **few) == exact
    await seeded.execute("SET hnsw.max_scan_tuples = 1")
    tenant = await owner(seeded, 1)
    scope = Scope(db._executor, db._observer, tenant, None).on(seeded)
    numbers = await vector_of(seeded, 1, 1)
    for options, number in ((few, 4), ({}, 10), ({"limit": 500}, 200)):
        hits = await memories.search(scope, "", agent_id=tenant, embedding=numbers, model=MODEL, **options)
        assert len(hits) >= min(number, 10)
        assert hits[0].parts["vector"] == 0.5


async def test_the_index_is_built_once_and_what_was_left_over_is_replaced(seeded: Connection, db: Database) -> None:
    await seeded.execute("DELETE FROM agentmem.memory_embeddings_256 WHERE organization_id = md5('o1')::uuid")
    assert await create_index(db.dsn, "memories", 256)
    assert not await create_index(db.dsn, "memories", 256)
    await seeded.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agentmem.memory_embeddings_256_nearest'::regclass"
    )
    assert await create_index(db.dsn, "memories", 256, links=8, breadth=32)
    await drop_index(db.dsn, "memories", 256)
    await drop_index(db.dsn, "memories", 256)
    for dimension in (1536, 2048, 3072):
        assert await create_index(db.dsn, "messages", dimension)


async def test_an_index_of_full_precision_is_passed_over_and_replaced(seeded: Connection, db: Database) -> None:
    """Earlier releases built one, of the same name."""
    await seeded.execute(
        "CREATE INDEX memory_embeddings_256_nearest ON agentmem.memory_embeddings_256"
        " USING hnsw (embedding vector_cosine_ops)"
    )
    assert "never executed" in scan((await plan(seeded, 1))["near_reached"])
    assert await create_index(db.dsn, "memories", 256)
    assert "Index Scan" in scan((await plan(seeded, 1))["near_reached"])


async def test_what_the_index_finds_is_compared_in_full_precision(seeded: Connection, db: Database) -> None:
    """Two rows that are one to the index, as half a float has 11 bits: 0.79975 and 0.7999 are both 0.7998."""
    await create_index(db.dsn, "memories", 256)
    await seeded.execute(ALIKE)
    tenant, (_, *rest) = await owner(seeded, 1), await vector_of(seeded, 1, 1)
    toward = [8.0, *rest]
    hits = await memories.search(db.tenant(tenant), "", agent_id=tenant, embedding=toward, model=MODEL, limit=2)
    assert [hit.memory.metadata["at"] for hit in hits] == [0.7999, 0.79975]
    assert hits[0].score > hits[1].score
    assert "never executed" in scan((await plan(seeded, 1))["near_scanned"]), "they came from the index"


async def test_before_pgvector_0_8_all_is_exact(seeded: Connection, db: Database) -> None:
    await create_index(db.dsn, "memories", 256)
    await seeded.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    assert "never executed" in scan((await plan(seeded, 1))["near_reached"])
    with pytest.raises(errors.ConfigurationError, match=r"0\.8"):
        await create_index(db.dsn, "memories", 384)


async def test_an_index_of_nothing_known_is_refused(db: Database, empty_database: str) -> None:
    make: Any = create_index
    for source, dimension, field in (("blocks", 256, "source"), ("memories", 257, "dimension")):
        with pytest.raises(errors.ValidationError) as caught:
            await make(db.dsn, source, dimension)
        assert caught.value.problems[0].field == field
    with pytest.raises(errors.ConfigurationError, match="track vector"):
        await create_index(empty_database, "memories", 256)
