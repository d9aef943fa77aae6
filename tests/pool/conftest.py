"""Pools that are closed at the end, and a proxy in front of the server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store.config import DEVELOPMENT
from agentmem_store.pool import PoolManager
from tests.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Opening = Callable[..., Awaitable[PoolManager]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "pool":
            item.add_marker(pytest.mark.own_sessions)


@pytest.fixture
async def opened(shared: str) -> AsyncIterator[Opening]:
    """Opens pools with settings of a test's own, on a DSN of its own if it has one."""
    async with AsyncExitStack() as stack:

        async def opening(dsn: str = shared, **changes: Any) -> PoolManager:
            pool = PoolManager(dsn, DEVELOPMENT.with_(**{"leak_after_s": None, **changes}))
            await pool.open()
            stack.push_async_callback(pool.close)
            return pool

        yield opening


@pytest.fixture
async def pool(opened: Opening) -> PoolManager:
    """A pool of at most two connections."""
    return await opened(min_size=1, max_size=2)


@pytest.fixture
async def hole(shared: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy that can become a black hole, and the DSN that leads through it."""
    async with proxied(shared) as through:
        yield through
