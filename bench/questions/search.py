"""Search as an agent's memories grow, and as other tenants' do."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from agentmem_store import memories
from agentmem_store.search import refresh
from bench import seed
from bench.case import Case
from bench.peers import contenders, opened
from bench.peers.ours import FOUND
from bench.timing import one_after_another

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agentmem_store import MemoryHit, Scope
    from bench.ground import Ground, Place
    from bench.timing import Operation

__all__ = ["neighbours", "search"]


async def search(ground: Ground) -> AsyncGenerator[Case]:
    """How long does a search for three words take among the memories of one agent? Peers rank rows with all of them."""
    calls = max(1, ground.size.operations // 10)
    async with ground.place() as place, AsyncExitStack() as stack:
        names = ("ours", "raw", "idiom", "ORM", "psycopg")
        peers = {name: await stack.enter_async_context(opened(name, place, ground.config)) for name in names}
        there = ground.size.memories
        for size in ground.size.searched:
            await _grow(place, ground, size - there)
            there = max(there, size)
            works = contenders(peers, "search", lambda call: one_after_another(calls, call))
            yield Case(f"search {there:,} memories", works, at=there)


async def _grow(place: Place, ground: Ground, by: int) -> None:
    """Bring an agent's memories to a size and leave the table as it is after a while."""
    async with place.ours(ground.config) as scope, place.connection() as connection:
        if by > 0:
            await seed.add_memories(scope, place.world.agent(0), by)
        await seed.settle(connection)
        await refresh(scope, place.world.agent(0))


async def neighbours(ground: Ground) -> AsyncGenerator[Case]:
    """Does a search take longer when there are more other tenants?"""
    calls = max(1, ground.size.operations // 5)
    async with AsyncExitStack() as stack:
        works = {}
        for others in ground.size.others:
            place = await stack.enter_async_context(ground.place())
            async with place.connection() as connection:
                await seed.add_others(connection, others, ground.size.rows_each)
                await seed.settle(connection)
            scope = await stack.enter_async_context(place.ours(ground.config))
            works[f"{others:,} others"] = one_after_another(calls, _finding(scope, place))
        yield Case(f"search {ground.size.memories:,} memories beside other tenants", works)


def _finding(scope: Scope, place: Place) -> Operation:
    async def find(n: int) -> list[MemoryHit]:
        return await memories.search(scope, seed.question(n), agent_id=place.world.agent(0), limit=FOUND)

    return find
