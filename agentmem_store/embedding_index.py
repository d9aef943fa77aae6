"""The index over all vectors of a dimension, by which searches of large owners do not read all of their vectors.

Made on demand: it takes minutes to build and as much memory as the vectors, and owners with few rows do not need it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from agentmem_store import connect, errors
from agentmem_store.inputs import check_limit
from agentmem_store.models.embeddings import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Any

    import asyncpg

    from agentmem_store.models.embeddings import Source

__all__ = ["create_index", "drop_index"]

_TABLES: Final = {"memories": "memory_embeddings", "messages": "message_embeddings"}
_LINKS, _BREADTH = (2, 100), (4, 1000)  # what pgvector allows

# The names come from the catalogue: the extension lies where the database has it. What is indexed is what the function
# of the dimension makes of a vector, so that the planner knows one by the other.
_STATE: Final = """
SELECT c.oid IS NOT NULL AND i.indisvalid AND i.indclass[0] = o.oid AS is_there,
       c.oid IS NOT NULL                                            AS is_left_over,
       string_to_array(x.extversion, '.')::integer[] >= '{0,8}'     AS is_used,
       format('%I.%I', n.nspname, t.typname)                        AS indexed,
       format('%I.%I', n.nspname, o.opcname)                        AS cosine
FROM pg_proc AS p
CROSS JOIN pg_extension AS x
JOIN pg_type AS t      ON t.oid = p.prorettype
JOIN pg_opclass AS o   ON o.opcintype = t.oid AND o.opcname LIKE '%cosine_ops'
JOIN pg_am AS m        ON m.oid = o.opcmethod AND m.amname = 'hnsw'
JOIN pg_namespace AS n ON n.oid = o.opcnamespace
LEFT JOIN pg_class AS c ON c.oid = to_regclass($2)
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE p.oid = to_regproc($1) AND x.extname = 'vector'
"""


async def create_index(dsn: str, source: Source, dimension: int, *, links: int = 16, breadth: int = 64) -> bool:
    """Build the index over all embeddings of a source and a dimension, beside which others go on reading and writing.

    It serves owners who have a large part of those embeddings, from about 10,000 rows on; the others are scanned, which
    is faster for them. It is of half precision; what it finds, which is not always the nearest, is compared in full. An
    index of full precision, or what an earlier attempt left, is removed first.

    Args:
        dsn: the server itself, not a pooler before it.
        source: `memories` or `messages`.
        dimension: how many numbers the vectors have.
        links: of each vector to others, 2 to 100 (pgvector's m); more find more, and take more memory.
        breadth: of the search for them, 4 to 1,000, at least twice the links (pgvector's ef_construction).

    Returns:
        whether it was built; False if it was there.

    Raises:
        ConfigurationError: the track `vector` is not applied, or pgvector is older than 0.8.
        ConnectError, DatabaseError: the server cannot be reached, or refuses.
    """
    table, index = _names(source, dimension)
    check_limit(links, "links", most=_LINKS[1])
    check_limit(breadth, "breadth", most=_BREADTH[1])
    async with _connection(dsn) as connection:
        state = await connection.fetchrow(_STATE, f"agentmem.indexed_{dimension:d}", index)
        if state is None:
            raise errors.ConfigurationError("apply all migrations of the track vector first")
        if not state["is_used"]:
            raise errors.ConfigurationError("searches use such an index from pgvector 0.8 on: update the extension")
        if state["is_there"]:
            return False
        if state["is_left_over"]:
            await connection.execute(f"DROP INDEX CONCURRENTLY {index}")
        await connection.execute(
            f"CREATE INDEX CONCURRENTLY {index.removeprefix('agentmem.')} ON {table}"
            f" USING hnsw ((embedding::{state['indexed']}({dimension:d})) {state['cosine']})"
            f" WITH (m = {links:d}, ef_construction = {breadth:d})"
        )
    return True


async def drop_index(dsn: str, source: Source, dimension: int) -> None:
    """Remove that index, if it is there, beside which others go on reading and writing.

    Args:
        dsn: the server itself, not a pooler before it.
        source: `memories` or `messages`.
        dimension: how many numbers the vectors have.

    Raises:
        ConnectError, DatabaseError: the server cannot be reached, or refuses.
    """
    _, index = _names(source, dimension)
    async with _connection(dsn) as connection:
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


def _names(source: str, dimension: int) -> tuple[str, str]:
    """Return the names of table and index, both of them known words."""
    if source not in _TABLES:
        raise errors.ValidationError.of("source", f"must be {' or '.join(_TABLES)}")
    if dimension not in DIMENSIONS:
        raise errors.ValidationError.of("dimension", f"must be one of {', '.join(map(str, DIMENSIONS))}")
    table = f"agentmem.{_TABLES[source]}_{dimension}"
    return table, f"{table}_nearest"


@asynccontextmanager
async def _connection(dsn: str) -> AsyncGenerator[asyncpg.Connection[Any]]:
    async with connect.serving(dsn) as served:
        connection = await connect.connect(served, application_name="agentmem_store index")
        try:
            yield connection
        except errors.DRIVER_ERRORS as error:
            raise errors.from_driver(error) from error
        finally:
            await connection.close()
