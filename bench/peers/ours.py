"""Ours: the package as its guide shows it. The operations that peers are asked for stand here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agentmem_store import (
    HIGH_PERFORMANCE,
    AgentChanges,
    NewAgent,
    NewMemory,
    NewMessage,
    agents,
    context,
    memories,
    messages,
)
from bench import seed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agentmem_store import Agent, Context, Memory, MemoryHit, Message, Page, PoolConfig, Scope
    from bench.ground import Place
    from bench.seed import World

__all__ = ["BUDGET", "FOUND", "LENT", "LISTED", "RECENT", "TEXT", "TOUCHED", "Ours", "opened", "opened_coalescing"]

LENT = "SELECT 1 AS number"  # what a lent connection is asked
RECENT = 50  # messages, and memories of a page
LISTED = 10  # agents
TOUCHED = 10  # memories
FOUND = 10  # memories
BUDGET = 2_000  # tokens of messages: about forty of them
TEXT = next(seed.texts(1, seed=4))  # of each new row


class Ours:
    """The operations."""

    def __init__(self, scope: Scope, world: World) -> None:
        self._scope, self._world = scope, world

    async def get(self, n: int) -> Agent:
        return await agents.get(self._scope, self._world.agent(n))

    async def recent(self, _: int) -> list[Message]:
        return await messages.recent(self._scope, self._world.agent(0), limit=RECENT)

    async def append(self, n: int) -> list[Message]:
        return await messages.append(self._scope, self._world.agent(n), [NewMessage(role="user", text=TEXT)])

    async def create(self, n: int) -> Agent:
        return await agents.create(self._scope, NewAgent(name=f"agent {n}"))

    async def list_agents(self, _: int) -> Page[Agent]:
        return await agents.list(self._scope, limit=LISTED)

    async def rename(self, n: int) -> Agent:
        return await agents.update(self._scope, self._world.agent(n), AgentChanges(name=f"agent {n}"))

    async def create_and_delete(self, n: int) -> Agent:
        return await agents.delete(self._scope, (await self.create(n)).id)

    async def page(self, _: int) -> Page[Memory]:
        return await memories.list(self._scope, agent_id=self._world.agent(0), limit=RECENT)

    async def touch(self, n: int) -> int:
        return await memories.touch(self._scope, [self._world.memory(n * TOUCHED + k) for k in range(TOUCHED)])

    async def search(self, n: int) -> list[MemoryHit]:
        return await memories.search(self._scope, seed.question(n), agent_id=self._world.agent(0), limit=FOUND)

    async def context(self, n: int) -> Context:
        asked = seed.question(n)
        return await context.assemble(self._scope, self._world.agent(0), token_budget=BUDGET, query=asked)

    async def transaction(self, n: int) -> Agent:
        async with self._scope.transaction() as tx:
            return await agents.get(tx, self._world.agent(n))

    async def remember(self, _: int) -> Memory:
        return await memories.create(self._scope, NewMemory(agent_id=self._world.agent(0), content=TEXT))

    def make(self, size: int) -> list[NewMemory]:
        return [NewMemory(agent_id=self._world.agent(0), content=text) for text in seed.texts(size)]

    async def store(self, batch: Sequence[NewMemory]) -> list[Memory]:
        return await memories.create_many(self._scope, batch)


@asynccontextmanager
async def opened(place: Place, config: PoolConfig) -> AsyncGenerator[Ours]:
    """Open it, with the pool of a preset."""
    async with place.ours(config) as scope:
        yield Ours(scope, place.world)


@asynccontextmanager
async def opened_coalescing(place: Place, config: PoolConfig) -> AsyncGenerator[Ours]:
    """Open it as the preset for high performance has it, with as many connections as the others."""
    same = ("min_size", "max_size", "acquire_timeout_s", "max_waiting", "slow_query_ms")
    async with place.ours(HIGH_PERFORMANCE.with_(**{name: getattr(config, name) for name in same})) as scope:
        yield Ours(scope, place.world)
