"""The four benchmarks by name: what Phase 1 measured, beside the same work by others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.case import Case
from bench.peers import contenders
from bench.timing import at_once, batches, one_after_another

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground

__all__ = [
    "benchmark_batch_operations",
    "benchmark_concurrent_operations",
    "benchmark_crud_operations",
    "benchmark_memory_operations",
]


async def benchmark_crud_operations(ground: Ground) -> AsyncGenerator[Case]:
    """How long does it take to create, get, list, rename and delete agents, one call after another?"""
    calls = ground.size.operations
    async with ground.peers("ours", "raw", "idiom") as peers:
        for operation in ("create", "get", "list_agents", "rename", "create_and_delete"):
            works = contenders(peers, operation, lambda call: one_after_another(calls, call))
            yield Case(operation.replace("_", " "), works)


async def benchmark_batch_operations(ground: Ground) -> AsyncGenerator[Case]:
    """How long does a memory take in one call for many, and in a call of its own, as in Phase 1?"""
    size = min(200, max(ground.size.bulk))
    async with ground.peers("ours", "idiom") as peers:
        works = {name: batches(size, peer.make, peer.store) for name, peer in peers.items()}
        works["idiom, row by row"] = one_after_another(size, peers["idiom"].remember)
        yield Case(f"create {size} memories, each", works)


async def benchmark_memory_operations(ground: Ground) -> AsyncGenerator[Case]:
    """How long does it take to create a memory and to search for memories, one call after another?"""
    calls = max(1, ground.size.operations // 2)
    async with ground.peers("ours", "raw", "idiom") as peers:
        for operation in ("remember", "search"):
            yield Case(operation, contenders(peers, operation, lambda call: one_after_another(calls, call)))


async def benchmark_concurrent_operations(ground: Ground) -> AsyncGenerator[Case]:
    """How long does a call take of a hundred tasks that each await a get, or an append, of their own?"""
    tasks = ground.size.tasks
    async with ground.peers("coalesced", "ours", "idiom", "ORM", "psycopg", "LangGraph") as peers:
        for operation in ("get", "append"):
            works = contenders(peers, operation, lambda call: at_once(tasks, call))
            yield Case(f"{tasks} tasks, {operation}", works)
