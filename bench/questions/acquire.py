"""The pool alone."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from agentmem_store.pool import PoolManager
from bench.case import Case
from bench.peers import opened
from bench.peers.ours import LENT
from bench.timing import in_streams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground, Place
    from bench.timing import Operation

__all__ = ["acquire"]

_TASKS: Final = 64


async def acquire(ground: Ground) -> AsyncGenerator[Case]:
    """How fast does a pool lend its connections to 64 tasks, each of which asks the server for a number?"""
    each = max(1, ground.size.operations // 10)
    async with (
        ground.place() as place,
        _ours(ground, place) as ours,
        opened("idiom", place, ground.config) as idiom,
        opened("psycopg", place, ground.config) as psycopg,
    ):
        lending = {"ours": ours, "idiom": idiom.lend, "psycopg": psycopg.lend}
        works = {name: in_streams(_TASKS, each, lend) for name, lend in lending.items()}
        yield Case(f"lend {ground.size.connections} connections to {_TASKS} tasks", works)


@asynccontextmanager
async def _ours(ground: Ground, place: Place) -> AsyncGenerator[Operation]:
    pool = PoolManager(place.dsn, ground.config)
    await pool.open()

    async def lend(_: int) -> int:
        lease = await pool.acquire()
        try:
            number: int = await lease.connection.fetchval(LENT)
            return number
        finally:
            pool.release(lease)

    try:
        yield lend
    finally:
        await pool.close()
