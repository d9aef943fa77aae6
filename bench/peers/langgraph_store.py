"""LangGraph's AsyncPostgresStore, from its published package, in tables of its own.

It keeps JSON values by namespace and key, and puts together what tasks ask for at the same time. It has no models, no
counter, no parents and no index of texts: less work than any of the others.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from langgraph.store.base import PutOp
from langgraph.store.postgres.aio import AsyncPostgresStore
from uuid_utils.compat import uuid7

from bench import seed
from bench.peers.ours import RECENT, TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langgraph.store.base import Item, SearchItem

    from agentmem_store import PoolConfig
    from bench.ground import Place
    from bench.seed import World

__all__ = ["LangGraph", "opened"]

_PUTS: Final = 1_000


class LangGraph:
    """The operations."""

    def __init__(self, store: AsyncPostgresStore, world: World) -> None:
        self._store, self._world = store, world
        self._agents = ("agents", str(world.organization_id))

    async def fill(self) -> None:
        """Store the agents, and as many memories of the first as a page holds."""
        agents = enumerate(self._world.agent_ids)
        await self.store(
            [PutOp(self._agents, str(agent), {"name": f"agent {n}", "metadata": {}}) for n, agent in agents]
        )
        await self._store.abatch(self.make(RECENT))

    async def get(self, n: int) -> Item | None:
        return await self._store.aget(self._agents, str(self._world.agent(n)))

    async def append(self, n: int) -> None:
        message = {"role": "user", "text": TEXT}
        await self._store.aput(("messages", str(self._world.agent(n))), str(uuid7()), message)

    async def page(self, _: int) -> list[SearchItem]:
        return await self._store.asearch(self._memories, limit=RECENT)

    def make(self, size: int) -> list[Any]:
        return [PutOp(self._memories, str(uuid7()), {"content": text}) for text in seed.texts(size)]

    async def store(self, batch: list[Any]) -> None:
        for start in range(0, len(batch), _PUTS):  # it sends a batch as one INSERT, whose parameters are limited
            await self._store.abatch(batch[start : start + _PUTS])

    @property
    def _memories(self) -> tuple[str, str]:
        return "memories", str(self._world.agent(0))


@asynccontextmanager
async def opened(place: Place, config: PoolConfig) -> AsyncGenerator[LangGraph]:
    """Open the store with a pool of as many connections as the others have, and make its tables."""
    sizes: Any = {"min_size": config.max_size, "max_size": config.max_size}
    async with AsyncPostgresStore.from_conn_string(place.dsn, pool_config=sizes) as store:
        await store.setup()
        peer = LangGraph(store, place.world)
        await peer.fill()
        yield peer
