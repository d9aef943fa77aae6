"""The four benchmarks by name. Each returns what to measure: contenders that do the same work."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentmem_store import (
    Database,
    NewAgent,
    NewMemory,
    NewOrganization,
    Scope,
    agents,
    memories,
    organizations,
)
from bench import idiom

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from bench.timing import Work

WORDS = ("coffee", "tea", "garden", "piano", "train", "mountain", "letter", "window", "river", "bread")


@dataclass(frozen=True)
class Ground:
    """Where contenders work: one organization with agents and memories, a database of ours and a pool of the peer's."""

    scope: Scope
    pool: Any
    agent_ids: list[UUID]

    @property
    def organization_id(self) -> UUID:
        return self.scope.organization_id


async def prepare(db: Database, pool: Any, *, rows: int = 1000) -> Ground:
    """Fill a fresh organization, so that every contender sees the same rows."""
    organization = await organizations.create(db, NewOrganization(name="bench"))
    scope = db.tenant(organization.id)
    made = await agents.create_many(scope, [NewAgent(name=f"agent {n}") for n in range(100)])
    first = made[0].id
    contents = [f"{WORDS[n % 10]} and {WORDS[n // 10 % 10]}, note {n}" for n in range(rows)]
    await memories.create_many(scope, [NewMemory(agent_id=first, content=content) for content in contents])
    async with db.connection() as connection:
        await connection.execute("ANALYZE")
    return Ground(scope, pool, [agent.id for agent in made])


def benchmark_crud_operations(ground: Ground, size: int) -> dict[str, dict[str, Work]]:
    """Create, get and list agents, one call after another."""
    org = ground.organization_id
    return {
        "create": {
            "ours": _repeat(size, lambda n: agents.create(ground.scope, NewAgent(name=f"agent {n}"))),
            "idiom": _repeat(size, lambda n: idiom.create(ground.pool, org, f"agent {n}")),
        },
        "get": {
            "ours": _repeat(size, lambda n: agents.get(ground.scope, ground.agent_ids[n % 100])),
            "idiom": _repeat(size, lambda n: idiom.get(ground.pool, org, ground.agent_ids[n % 100])),
        },
        "list 10": {
            "ours": _repeat(size, lambda _: agents.list(ground.scope, limit=10)),
            "idiom": _repeat(size, lambda _: idiom.list_agents(ground.pool, org, 10)),
        },
    }


def benchmark_batch_operations(ground: Ground, size: int) -> dict[str, dict[str, Work]]:
    """Create many agents: one call of ours; for the peer a row at a time, as Phase 1 did."""
    names = [f"agent {n}" for n in range(size)]

    async def ours() -> int:
        return len(await agents.create_many(ground.scope, [NewAgent(name=name) for name in names]))

    async def peer() -> int:
        await idiom.create_one_by_one(ground.pool, ground.organization_id, names)
        return size

    return {f"create {size}, per item": {"ours": ours, "idiom": peer}}


def benchmark_memory_operations(ground: Ground, size: int) -> dict[str, dict[str, Work]]:
    """Create memories one after another, and search them."""
    org, agent_id = ground.organization_id, ground.agent_ids[0]

    def remember(n: int) -> Awaitable[Any]:
        return memories.create(ground.scope, NewMemory(agent_id=agent_id, content=f"{WORDS[n % 10]} {n}"))

    def find(n: int) -> Awaitable[Any]:
        return memories.search(ground.scope, f"{WORDS[n % 10]} {WORDS[n // 10 % 10]}", agent_id=agent_id, limit=10)

    def find_idiom(n: int) -> Awaitable[Any]:
        return idiom.search(ground.pool, org, agent_id, f"{WORDS[n % 10]} {WORDS[n // 10 % 10]}", 10)

    return {
        "create": {
            "ours": _repeat(size, remember),
            "idiom": _repeat(size, lambda n: idiom.remember(ground.pool, org, agent_id, f"{WORDS[n % 10]} {n}")),
        },
        "search 10": {"ours": _repeat(size, find), "idiom": _repeat(size, find_idiom)},
    }


def benchmark_concurrent_operations(ground: Ground, size: int) -> dict[str, dict[str, Work]]:
    """Many tasks at once, each awaiting its own get."""
    org = ground.organization_id
    return {
        f"{size} tasks, get": {
            "ours": _at_once(size, lambda n: agents.get(ground.scope, ground.agent_ids[n % 100])),
            "idiom": _at_once(size, lambda n: idiom.get(ground.pool, org, ground.agent_ids[n % 100])),
        }
    }


def _repeat(times: int, work: Callable[[int], Awaitable[Any]]) -> Work:
    async def run() -> int:
        for n in range(times):
            await work(n)
        return times

    return run


def _at_once(tasks: int, work: Callable[[int], Awaitable[Any]]) -> Work:
    async def run() -> int:
        await asyncio.gather(*(work(n) for n in range(tasks)))
        return tasks

    return run


# By name: the benchmark, and how many operations make one figure.
BENCHMARKS = {
    "crud": (benchmark_crud_operations, 200),
    "batch": (benchmark_batch_operations, 200),
    "memory": (benchmark_memory_operations, 100),
    "concurrent": (benchmark_concurrent_operations, 100),
}
