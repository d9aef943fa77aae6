"""The track `vector`: it finds pgvector wherever it lies, refuses an old one, and goes back without a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import connect, errors, migrations
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import embeddings, memories, organizations
from tests.test_schema import (
    test_every_foreign_key_has_an_index_that_serves_its_cascade,  # noqa: F401 - here of all tables
    test_keys_carry_the_tenant,  # noqa: F401
    test_nothing_that_breaks_on_citus,  # noqa: F401
)
from tests.vector.stored import MODEL, keep, towards

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    Connection = asyncpg.Connection[Any]

BOTH = ("core", "vector")
pytestmark = pytest.mark.usefixtures("vector_template")  # which skips where there is no pgvector
CATALOGUE = """
    SELECT c.relname || ' ' || coalesce(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || a.attnotnull::text
                                        || a.attstorage::text, '')
    FROM pg_class AS c
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'agentmem'::regnamespace
    UNION ALL
    SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = 'agentmem'::regnamespace
    ORDER BY 1
"""


@pytest.fixture
async def superuser(empty_database: str) -> AsyncIterator[Connection]:
    connection = await connect.connect(empty_database)
    yield connection
    await connection.close()


async def catalogue(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(CATALOGUE)]


async def test_up_down_and_up_again(empty_database: str, superuser: Connection) -> None:
    await migrations.up(empty_database)
    core = await catalogue(superuser)
    await migrations.up(empty_database, tracks=BOTH)
    whole = await catalogue(superuser)
    assert len([line for line in whole if line.startswith("memory_embeddings_256 ")]) == 8
    await migrations.down(empty_database, track="vector", steps=2)
    assert await catalogue(superuser) == core
    assert await superuser.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 1
    await migrations.up(empty_database, tracks=BOTH)
    assert await catalogue(superuser) == whole


@pytest.mark.parametrize("schema", ["public", "Their extensions", "agentmem"])
async def test_the_extension_may_lie_in_any_schema(empty_database: str, superuser: Connection, schema: str) -> None:
    await migrations.up(empty_database)
    await superuser.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE EXTENSION vector SCHEMA "{schema}"')
    await migrations.up(empty_database, tracks=BOTH)
    async with Database(empty_database, DEVELOPMENT) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="o"))).id)
        kept = await keep(scope, ["a", "b"], [towards(0), towards(90)])
        hits = await memories.search(scope, "", embedding=towards(80), model=MODEL)
        assert [hit.memory.id for hit in hits] == [row.id for row in reversed(kept.memories)]
        assert await embeddings.create_index(db.dsn, "memories", 384)
        assert await embeddings.create_index(db.dsn, "memories", 3072)


async def test_an_old_pgvector_is_refused_and_nothing_is_left(empty_database: str, superuser: Connection) -> None:
    await migrations.up(empty_database)
    before = await catalogue(superuser)
    await superuser.execute("CREATE EXTENSION vector; UPDATE pg_extension SET extversion = '0.5.1' "
                            "WHERE extname = 'vector'")  # fmt: skip
    with pytest.raises(
        errors.MigrationFailed, match=r"pgvector 0\.6 or newer is needed, and this database has 0\.5\.1"
    ):
        await migrations.up(empty_database, tracks=BOTH)
    assert await catalogue(superuser) == before


async def test_indexes_of_half_precision_go_with_what_uses_them(empty_database: str, superuser: Connection) -> None:
    await migrations.up(empty_database, tracks=BOTH)
    assert await embeddings.create_index(empty_database, "memories", 384)
    assert await embeddings.create_index(empty_database, "messages", 3072)
    await migrations.down(empty_database, track="vector")
    left = [line.split()[0] for line in await catalogue(superuser) if "_nearest" in line]
    assert left == ["message_embeddings_3072_nearest"]


async def test_a_pgvector_without_half_precision_serves_and_may_get_it_later(
    empty_database: str, superuser: Connection
) -> None:
    await superuser.execute("CREATE EXTENSION vector; ALTER TYPE halfvec RENAME TO unheard_of")
    await migrations.up(empty_database, tracks=BOTH)
    async with Database(empty_database, DEVELOPMENT) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="o"))).id)
        kept = await keep(scope, ["a", "b"], [towards(0, 3072), towards(90, 3072)])
        assert await embeddings.create_index(db.dsn, "memories", 384)
        hits = await memories.search(scope, "", embedding=towards(80, 3072), model=MODEL)
        assert [hit.memory.id for hit in hits] == [row.id for row in reversed(kept.memories)]
    await migrations.down(empty_database, track="vector")
    await superuser.execute("ALTER TYPE unheard_of RENAME TO halfvec")
    await migrations.up(empty_database, tracks=BOTH)
    assert await embeddings.create_index(empty_database, "memories", 3072)
    assert "agentmem.indexed_3072(vector)" in await catalogue(superuser)


async def test_a_database_without_the_track_does_all_else(empty_database: str) -> None:
    await migrations.up(empty_database)
    async with Database(empty_database, DEVELOPMENT) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="o"))).id)
        assert await memories.search(scope, "anything") == []
        with pytest.raises(errors.SchemaMissing, match="--track vector") as caught:
            await memories.search(scope, "anything", embedding=towards(0), model=MODEL)
        assert caught.value.sqlstate == "42883"
