"""Search by words and by vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentmem_store import memories
from agentmem_store.repositories import embeddings
from agentmem_store.search import refresh
from bench import seed
from bench.case import Case
from bench.peers.ours import FOUND
from bench.timing import one_after_another
from bench.vectors import DIMENSION, directions, with_vectors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agentmem_store import MemoryHit, Scope
    from bench.ground import Ground, Place
    from bench.timing import Operation

__all__ = ["hybrid"]

_MODEL: Final = "bench"
_INDEXED: Final = 10_000  # rows from which on an index serves
_BATCH: Final = 1_000


async def hybrid(ground: Ground) -> AsyncGenerator[Case]:
    """How long does a search by words and by a vector of 384 numbers take among the memories of one agent?"""
    calls = max(1, ground.size.operations // 10)
    for size in ground.size.searched:
        async with ground.place() as place, place.ours(ground.config) as scope:
            await _embed(place, scope, size - ground.size.memories)
            works = {
                "ours": one_after_another(calls, _finding(scope, place, by_vector=True)),
                "words alone": one_after_another(calls, _finding(scope, place, by_vector=False)),
            }
            yield Case(f"hybrid {size:,} memories", works, at=size)


async def _embed(place: Place, scope: Scope, more: int) -> None:
    """Bring an agent's memories to a size, each with an embedding, and leave the tables as they are after a while."""
    agent_id = place.world.agent(0)
    await with_vectors(place)
    async with place.connection() as connection:
        await seed.add_memories(scope, agent_id, more)
        rows = await connection.fetch("SELECT id FROM agentmem.memories WHERE agent_id = $1", agent_id)
        for start in range(0, len(rows), _BATCH):
            ids = [row["id"] for row in rows[start : start + _BATCH]]
            await embeddings.store(scope, "memories", ids, directions(start, len(ids)), model=_MODEL)
        if len(rows) >= _INDEXED:
            # The graph has to fit, else its build takes many times as long.
            name = await connection.fetchval("SELECT current_database()")
            await connection.execute(f"ALTER DATABASE \"{name}\" SET maintenance_work_mem = '512MB'")
            await embeddings.create_index(place.dsn, "memories", DIMENSION)
        await connection.execute("VACUUM (ANALYZE)")
    await refresh(scope, agent_id)


def _finding(scope: Scope, place: Place, *, by_vector: bool) -> Operation:
    asked = directions(1, 100)

    async def find(n: int) -> list[MemoryHit]:
        vector = {"embedding": asked[n % len(asked)], "model": _MODEL} if by_vector else {}
        return await memories.search(scope, seed.question(n), agent_id=place.world.agent(0), limit=FOUND, **vector)

    return find
