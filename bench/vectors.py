"""Vectors in bulk: how fast the binary codec and COPY bring them into a table that has no index.

Such a table shows the codec itself; our own tables of embeddings have a key and a parent to check beside it.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from uuid_utils.compat import uuid7

from agentmem_store import migrations
from agentmem_store.query import Query
from agentmem_store.repositories.copying import HEADER, TRAILER, copy_row
from agentmem_store.vectors import check_vectors, to_binary
from bench.case import Case
from bench.ground import Skipped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from uuid import UUID

    import asyncpg

    from agentmem_store import Scope
    from bench.ground import Ground, Place
    from bench.timing import Round, Work

    Store = Callable[[Sequence[UUID], Any], Awaitable[object]]

__all__ = ["DIMENSION", "bulk_of_vectors", "directions", "with_vectors"]

DIMENSION: Final = 384
_TABLE: Final = "CREATE TABLE public.vectors (id uuid NOT NULL, embedding public.vector(384) NOT NULL)"
_COPY: Final = Query("bench.copy_vectors", int, "COPY public.vectors (id, embedding) FROM STDIN (FORMAT binary)")
_ENCODED_AT_ONCE: Final = 500
_MOST_AS_TEXT: Final = 1_000  # written digit by digit, more would take a while


def directions(seed: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return random directions of 384 numbers, always the same ones for a seed."""
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


async def with_vectors(place: Place) -> None:
    """Make the tables of embeddings.

    Raises:
        Skipped: there is no pgvector.
    """
    async with place.connection() as connection:
        if not await connection.fetchval("SELECT true FROM pg_available_extensions WHERE name = 'vector'"):
            raise Skipped("pgvector is not installed on this server")
    await migrations.up(place.dsn, tracks=("core", "vector"))


async def bulk_of_vectors(ground: Ground) -> AsyncGenerator[Case]:
    """Yield the case: ours from three forms of the same numbers, the driver's own COPY, and vectors as text."""
    size = max(ground.size.bulk)
    async with ground.place() as place, AsyncExitStack() as stack:
        await with_vectors(place)
        scope = await stack.enter_async_context(place.ours(ground.config))
        connection = await stack.enter_async_context(_table(place))
        numbers, ours = directions(0, size), _copying(scope)
        works = {
            "ours": _storing(connection, numbers, ours),
            "ours, float16": _storing(connection, numbers.astype(np.float16), ours),
            "ours, lists": _storing(connection, numbers.tolist(), ours),
            "raw": _storing(connection, numbers, _by_driver(connection)),
            "idiom, as text": _storing(connection, numbers[:_MOST_AS_TEXT], _as_text(connection)),
        }
        yield Case(f"{size:,} vectors of {DIMENSION} numbers, no index, each", works)


@asynccontextmanager
async def _table(place: Place) -> AsyncGenerator[asyncpg.Connection[Any]]:
    async with place.connection() as connection:
        await connection.execute(_TABLE)
        yield connection


def _storing(connection: asyncpg.Connection[Any], vectors: Any, store: Store) -> Work:
    """Store vectors in the table, which is emptied before; that is not measured."""
    ids = [uuid7() for _ in vectors]

    async def run() -> Round:
        await connection.execute("TRUNCATE public.vectors")
        began = time.perf_counter()
        await store(ids, vectors)
        return {"time": (time.perf_counter() - began) / len(ids)}

    return run


def _copying(scope: Scope) -> Store:
    """Ours: checked, encoded and sent as `embeddings.store` does."""

    async def store(ids: Sequence[UUID], vectors: Any) -> None:
        checked = check_vectors(vectors, (DIMENSION,))

        async def data() -> AsyncGenerator[bytes, None]:
            yield HEADER
            for start in range(0, len(ids), _ENCODED_AT_ONCE):
                part = zip(
                    ids[start : start + _ENCODED_AT_ONCE], checked[start : start + _ENCODED_AT_ONCE], strict=True
                )
                yield b"".join([copy_row((identity, to_binary(vector))) for identity, vector in part])
            yield TRAILER

        async with scope.transaction() as tx:
            await tx.copy(_COPY, data())

    return store


def _by_driver(connection: asyncpg.Connection[Any]) -> Store:
    """Raw: the driver's COPY of records, with a codec as pgvector's own package has it: numpy's bytes as they are."""

    def encoded(vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
        return len(vector).to_bytes(2, "big") + b"\0\0" + vector.astype(">f4").tobytes()

    async def store(ids: Sequence[UUID], vectors: Any) -> None:
        await connection.set_type_codec("vector", schema="public", encoder=encoded, decoder=bytes, format="binary")
        await connection.copy_records_to_table(
            "vectors", schema_name="public", columns=("id", "embedding"), records=zip(ids, vectors, strict=True)
        )

    return store


def _as_text(connection: asyncpg.Connection[Any]) -> Store:
    """The idiom: '[1, 2, …]' and a cast, `executemany`."""

    async def store(ids: Sequence[UUID], vectors: Any) -> None:
        rows = [(identity, str(vector.tolist())) for identity, vector in zip(ids, vectors, strict=True)]
        await connection.executemany(
            "INSERT INTO public.vectors (id, embedding) VALUES ($1, $2::text::public.vector)", rows
        )

    return store
